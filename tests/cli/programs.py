"""Agents for the tests of the commands: steps of a chosen length, a question, a streamed reply."""

from __future__ import annotations

import time
from typing import Any

from regend.errors import Failed
from regend.worker.runtime import Runtime


def nap(context: Runtime) -> dict[str, Any]:
    """Run `steps` steps of `sleep_s` seconds; fail in the step `fail_at`."""

    def sleep(number: int) -> int:
        if context.input.get("fail_at") == number:
            raise Failed("hopeless", "It fails every time.", hint="Give up.")
        time.sleep(context.input.get("sleep_s", 0))
        return number

    for number in range(context.input.get("steps", 1)):
        context.step(f"step-{number}", sleep, number)
    return {"done": True}


def ask(context: Runtime) -> dict[str, Any]:
    """Ask a person before going on."""
    agreed = context.approve("send a letter", {"to": context.input["to"]})
    return {"agreed": agreed}


def reply(context: Runtime) -> dict[str, Any]:
    """Answer a chat with what was said last, word by word."""
    given = context.input
    said = given.get("prompt") or " | ".join(one["content"] for one in given["messages"])

    def speak() -> str:
        for place, word in enumerate(said.split()):
            chunk = {"step": 1, "text": f"{word} ", "offset": place, "tokens": 1}
            context.emit("model:chunk:v1", chunk)
            time.sleep(0.01)
        return said

    text = context.step("reply", speak)
    return {"text": text, "finish_reason": "stop", "usage": {}}
