"""A reply that is streamed, without a model."""

from __future__ import annotations

import time
from typing import Any

from regend.agents.context import Context


def run(context: Context) -> dict[str, Any]:
    """Answer a chat with what was said in it, word by word."""
    given = context.input
    said = given.get("prompt") or " | ".join(one["content"] for one in given["messages"])

    def speak() -> str:
        for place, word in enumerate(str(said).split()):
            chunk = {"step": 1, "text": f"{word} ", "offset": place, "tokens": 1}
            context.emit("model:chunk:v1", chunk)
            time.sleep(0.05)
        return str(said)

    return {"text": context.step("reply", speak), "finish_reason": "stop", "usage": {}}
