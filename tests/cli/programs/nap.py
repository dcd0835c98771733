"""Steps of a chosen length, one of which may fail."""

from __future__ import annotations

import time
from typing import Any

from regend.agents.context import Context
from regend.errors import Failed


def run(context: Context) -> dict[str, Any]:
    """Run `steps` steps of `sleep_s` seconds; fail in the step `fail_at`."""

    def sleep(number: int) -> int:
        if context.input.get("fail_at") == number:
            raise Failed("hopeless", "It fails every time.", hint="Give up.")
        time.sleep(context.input.get("sleep_s", 0))
        return number

    for number in range(context.input.get("steps", 1)):
        context.step(f"step-{number}", sleep, number)
    return {"done": True}
