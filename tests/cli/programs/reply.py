"""A reply that is streamed, without a model."""

from __future__ import annotations

import time
from typing import Any

from regend.agents.context import Context


def run(context: Context) -> dict[str, Any]:
    """Answer a chat with what was said in it, word by word, in `max_tokens` words at most."""
    given = context.input
    said = str(given.get("prompt") or " | ".join(one["content"] for one in given["messages"]))
    words, most = said.split(), given.get("max_tokens", 512)
    cut = len(words) > most
    if cut:
        said = " ".join(words[:most])

    def speak() -> str:
        for place, word in enumerate(words[:most]):
            chunk = {"step": 1, "text": f"{word} ", "offset": place, "tokens": 1}
            context.emit("model:chunk:v1", chunk)
            time.sleep(0.05)
        return said

    usage = {"completion_tokens": min(len(words), most)}
    reason = "length" if cut else "stop"
    return {"text": context.step("reply", speak), "finish_reason": reason, "usage": usage}
