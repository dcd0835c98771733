"""Agents for the engine's tests: small programs of durable steps, run in real workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from regend.errors import Failed, Retryable
from regend.jsontext import digest
from regend.worker.runtime import Runtime
from tests.jobs.effects import fragile_effect
from tests.jobs.hostile import run as hostile
from tests.jobs.oddities import lengthy, returns

__all__ = [
    "approve",
    "chatter",
    "count",
    "fragile_effect",
    "hoard",
    "hostile",
    "lengthy",
    "pay",
    "returns",
    "silent",
    "stubborn",
    "versions",
]


def count(context: Runtime) -> dict[str, Any]:
    """Run `steps` steps; each appends its number to `trace`, which shows what really ran.

    Each lasts `sleep_s`, or as long as the file `pace` says when it begins.
    """
    total = 0
    for number in range(context.input.get("steps", 3)):
        total += context.step(f"step-{number}", _work, number, context.input)
    return {"total": total}


def _work(number: int, options: dict[str, Any]) -> int:
    if options.get("trace"):
        with Path(options["trace"]).open("a", encoding="utf-8") as file:
            file.write(f"{number}\n")
    pace = Path(options["pace"]).read_text(encoding="utf-8") if options.get("pace") else None
    time.sleep(options.get("sleep_s", 0) if pace is None else float(pace))
    if options.get("die_at") == number and not _happened(options, "died"):
        os.kill(os.getpid(), signal.SIGKILL)
    if options.get("always_die_at") == number:
        os.kill(os.getpid(), signal.SIGKILL)
    if options.get("fail_at") == number and not _happened(options, "failed"):
        raise Retryable("flaky", "It failed this time.")
    if options.get("always_fail_at") == number:
        raise Failed("hopeless", "It fails every time.")
    if options.get("raise_at") == number:
        raise ValueError("a fault of the program")
    return number


def _happened(options: dict[str, Any], name: str) -> bool:
    return _marked(Path(f"{options['trace']}.{name}"))


def _marked(marker: Path) -> bool:
    """Tell whether this happened before, and note that it has now."""
    if marker.exists():
        return True
    marker.touch()
    return False


def stubborn(context: Runtime) -> dict[str, Any]:
    """Ignore TERM, with a grandchild that does too, and never end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sleeper = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-S", "-c", sleeper])

    def wait() -> None:
        Path(context.input["pids"]).write_text(f"{os.getpid()} {child.pid}", encoding="utf-8")
        time.sleep(600)

    context.step("wait", wait)
    return {}


def approve(context: Runtime) -> dict[str, Any]:
    """Ask before acting."""
    context.step("before", lambda: None)
    agreed = context.approve("send", {"to": context.input["to"]})
    return {"agreed": agreed}


def chatter(context: Runtime) -> dict[str, Any]:
    """Say `chunks` chunks of `size` characters in one step."""

    def say() -> int:
        size, chunks = context.input["size"], int(context.input["chunks"])
        for number in range(chunks):
            text = context.input.get("text", "x") * size
            context.emit("model:chunk:v1", {"step": 1, "offset": number, "tokens": 1, "text": text})
        if context.input.get("die_after") and not _marked(Path(context.input["die_after"])):
            time.sleep(1)  # what was said becomes durable
            os.kill(os.getpid(), signal.SIGKILL)
        return chunks

    return {"said": context.step("say", say)}


def hoard(context: Runtime) -> dict[str, Any]:
    """Keep a text of each step, and tell of all of them at the end."""
    kept = [
        context.step("keep", lambda _number: "fresh", number + 1)
        for number in range(context.input["steps"])
    ]
    firsts = [text[0] for text in kept if text[0].isdigit()]
    return {"characters": sum(map(len, kept)), "digest": digest(firsts)}


def pay(context: Runtime) -> dict[str, Any]:
    """Have an effect on a ledger outside; `die` kills the worker between effect and receipt."""
    ledger = Path(context.input["ledger"])

    def perform(key: str) -> dict[str, str]:
        with ledger.open("a", encoding="utf-8") as file:
            file.write(key + "\n")
        if context.input.get("die") and len(ledger.read_text(encoding="utf-8").split()) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"key": key}

    def inquire(key: str) -> dict[str, str] | None:
        return {"key": key} if key in ledger.read_text(encoding="utf-8").split() else None

    asks = context.input.get("asks")
    receipt = context.effect("pay", perform, ["rent"], inquire=inquire if asks else None)
    return {"receipt": receipt}


def versions(context: Runtime) -> dict[str, Any]:
    """Name its second step by a file, as if the program had changed between two runs."""
    first = context.step("first", lambda: "kept")
    name = Path(context.input["name_file"]).read_text(encoding="utf-8")
    second = context.step(name, lambda: name)
    context.step("wait", _wait_for, context.input["go_file"])
    return {"first": first, "second": second}


def _wait_for(path: str) -> None:
    while not Path(path).exists():
        time.sleep(0.02)


def silent(context: Runtime) -> dict[str, Any]:
    """Stop the whole process in the middle, as a hung machine would."""

    def stop() -> str:
        if not _happened(context.input, "stopped"):
            os.kill(os.getpid(), signal.SIGSTOP)
        return "woke"

    return {"said": context.step("stop", stop)}
