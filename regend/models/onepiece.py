"""The requests of answers that run in one piece: bound to a schema, or at a connected server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from regend import limits
from regend.errors import BadInput, Failed
from regend.models import prompting
from regend.models.emitter import Emitter
from regend.models.hostclient import answer_invalid
from regend.models.lease import Lease
from regend.models.records import GenerationRequest
from regend.models.segments import SAMPLING

_OPENAI_SAMPLING = ("temperature", "top_p")  # a server may refuse names that are not OpenAI's


def grammar_request(
    request: GenerationRequest, prompt: list[int], longest: int, slot: int
) -> dict[str, Any]:
    """Return the body of a completion that follows the request's JSON Schema."""
    return {
        "prompt": prompt,
        "json_schema": request.schema,
        "n_predict": longest,
        **SAMPLING,
        **request.sampling,
        "repeat_penalty": 1.0,  # JSON repeats its quotes, braces and names
        "seed": request.seed & 0x7FFF_FFFF,
        "id_slot": slot,
        "cache_prompt": False,
        "stream": True,
    }


def server_request(lease: Lease, request: GenerationRequest) -> tuple[str, dict[str, Any]]:
    """Return path and body of the request to an OpenAI-compatible server.

    Raises:
        BadInput: neither or both of messages and prompt, or a message of the wrong shape.
    """
    body: dict[str, Any] = {
        "model": lease.model,
        **{name: value for name, value in request.sampling.items() if name in _OPENAI_SAMPLING},
        "seed": request.seed & 0x7FFF_FFFF,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.max_tokens is not None:
        body["max_tokens"] = request.max_tokens
    if request.schema is not None:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": request.schema},
        }
    if (request.messages is None) == (request.prompt is None):
        raise BadInput("prompt_invalid", "Give either messages or a prompt.", field="messages")
    if request.messages is None:
        return "/v1/completions", {**body, "prompt": request.prompt}
    messages = prompting.check_messages(request.messages)
    return "/v1/chat/completions", {**body, "messages": messages}


def read_server_stream(
    events: Iterable[Any], emitter: Emitter
) -> tuple[Literal["stop", "length"], dict[str, int]]:
    """Feed a server's stream to the emitter; return why it ended, and the counts it states.

    Raises:
        Failed: `model_answer_invalid`; what came is not such a stream. `model_answer_too_long`.
    """
    reason: Literal["stop", "length"] = "stop"
    usage: dict[str, int] = {}
    try:
        for event in events:
            usage = _counts(event.get("usage") or usage)
            for choice in event.get("choices") or ():
                text = (choice.get("delta") or {}).get("content") or choice.get("text") or ""
                text.encode()  # half a character is no text
                if text and emitter.add(text, 1):
                    return "stop", usage
                if len(emitter.text) > limits.ANSWER_CHARACTERS:
                    raise _too_long()
                if choice.get("finish_reason") == "length":
                    reason = "length"
    except (AttributeError, KeyError, TypeError, UnicodeEncodeError) as error:
        raise answer_invalid() from error
    return reason, usage


def _counts(usage: dict[str, Any]) -> dict[str, int]:
    """Return what of a usage can be counts of tokens."""
    return {
        name: value
        for name, value in usage.items()
        if type(value) is int and 0 <= value <= limits.ANSWER_CHARACTERS
    }


def _too_long() -> Failed:
    return Failed(
        "model_answer_too_long",
        f"The server wrote more than {limits.ANSWER_CHARACTERS} characters and did not end.",
        hint="It seems to keep to no “max_tokens”; choose another model or server.",
    )
