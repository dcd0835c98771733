"""Chat: one reply of the model to a conversation.

One durable step. The conversation is given to the model as it is: what does not fit its context is
an error that names the sizes, never cut in silence.
"""

from __future__ import annotations

from typing import Any

from regend.agents.context import Context
from regend.errors import BadInput

DEFAULT_MAX_TOKENS = 512


def run(context: Context) -> dict[str, Any]:
    """Answer `input.messages`, or `input.prompt`, and return `{text, finish_reason, usage}`.

    Raises:
        BadInput: neither or both are given.
        RegendError: there is no such model, or the conversation is longer than its context.
    """
    given = context.input
    if ("prompt" in given) == ("messages" in given):
        raise BadInput(
            "invalid_field",
            "Give exactly one of “prompt” and “messages”.",
            field="input.prompt",
        )
    messages = given.get("messages") or [{"role": "user", "content": given["prompt"]}]
    context.progress(5, "the model reads")
    reply = context.generate(
        "reply",
        messages=messages,
        max_tokens=given.get("max_tokens", DEFAULT_MAX_TOKENS),
        temperature=given.get("temperature"),
        schema=given.get("schema"),
    )
    return {"text": reply.text, "finish_reason": reply.finish_reason, "usage": reply.usage}
