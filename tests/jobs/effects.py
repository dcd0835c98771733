"""An agent with an effect whose worker dies around it, as often as it is told to."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from regend.worker.runtime import Runtime


def fragile_effect(context: Runtime) -> dict[str, Any]:
    """Have an effect, by default without a receipt; die `before_` or `after_receipt` times."""
    options = context.input
    ledger = Path(options["ledger"])
    settle = context._settle_effect

    def perform(key: str) -> Any:
        _note(ledger, key)
        _die_until(ledger.with_suffix(".before"), int(options.get("before_receipt", 0)))
        if options.get("odd_receipt"):
            return 2**64
        return "x" * options["receipt_characters"] if "receipt_characters" in options else None

    def settle_and_die(ordinal: int, state: str, receipt: str | None) -> None:
        settle(ordinal, state, receipt)
        if state == "done":
            _die_until(ledger.with_suffix(".after"), int(options.get("after_receipt", 0)))

    setattr(context, "_settle_effect", settle_and_die)  # noqa: B010 - a fault is put in here
    receipt = context.effect("pay", perform, ["rent"])
    return {"receipt": receipt}


def _note(file: Path, line: str) -> None:
    with file.open("a", encoding="utf-8") as opened:
        opened.write(line + "\n")


def _die_until(marks: Path, times: int) -> None:
    """Kill this process, but no more than so many times."""
    done = len(marks.read_text(encoding="utf-8").split()) if marks.exists() else 0
    if done < times:
        _note(marks, "died")
        os.kill(os.getpid(), signal.SIGKILL)
