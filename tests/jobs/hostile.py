"""An agent that says what no worker should: one function for each thing said."""

from __future__ import annotations

import ctypes
import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack

from regend.errors import Failed
from regend.worker.runtime import Parked, Runtime

_STEP: dict[str, Any] = {
    "op": "step",
    "id": 10_000,
    "ordinal": 1,
    "name": "lie",
    "input_hash": "0" * 64,
    "result": "1",
    "started_at": 0,
    "duration_ms": 0,
}
_RECEIPT: dict[str, Any] = {
    "op": "receipt",
    "id": 10_000,
    "ordinal": 1,
    "state": "done",
    "receipt": "1",
}
_SLEEPER = "import time; time.sleep(20)"
_STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


def run(context: Runtime) -> Any:
    """Say what the input asks for, and wait to be ended."""
    says = context.input["says"]
    if says in _FRAMES:
        _send(context, msgpack.packb(_FRAMES[says]))
    elif says in _BYTES:
        _write(context, _BYTES[says])
        if says == "half_a_frame":
            os._exit(0)
    else:
        return _ACTIONS[says](context)
    time.sleep(30)
    return None


def _send(context: Runtime, body: bytes) -> None:
    _write(context, len(body).to_bytes(4, "big") + body)


def _write(context: Runtime, wire: bytes) -> None:
    os.write(context.channel._write_to, wire)


def _event(type_name: str, payload: Any) -> dict[str, Any]:
    return {"op": "event", "type": type_name, "data": payload}


def _end(kind: str, **fields: Any) -> dict[str, Any]:
    return {"op": "end", "kind": kind, **fields}


_CHUNK = "model:chunk:v1"
_CHECKPOINT = {"op": "checkpoint", "ordinal": 1, "position": 1, "data": "{}", "slot_file": ""}
_FRAMES: dict[str, Any] = {
    "not_a_map": [1, 2, 3],
    "unknown_op": {"op": "format_disk"},
    "unknown_event": _event("job:exploded:v1", {}),
    "engine_event": _event("job:completed:v1", {"result": 1}),
    "step_without_fields": {"op": "step", "id": 1},
    "step_no_json": {**_STEP, "result": "{"},
    "step_reference": {**_STEP, "result": "@" + "0" * 64},
    "step_nan": {**_STEP, "result": None},
    "step_huge_ordinal": {**_STEP, "ordinal": 2**63},
    "step_long_name": {**_STEP, "name": "x" * 301},
    "step_wrong_types": {**_STEP, "name": ["a"], "started_at": {}},
    "chunk_without_text": _event("model:chunk:v1", {"offset": 0}),
    "chunk_before_its_beginning": _event(_CHUNK, {"text": "x", "offset": -1, "tokens": 1}),
    "chunk_of_no_step": _event(_CHUNK, {"text": "x", "offset": 0, "tokens": 1, "step": "one"}),
    "hits_no_list": _event("search:result:v1", {"hits": 7}),
    "time_no_number": _event("model:complete:v1", {"elapsed_s": "soon"}),
    "checkpoint_nowhere": {**_CHECKPOINT, "position": -1},
    "progress_nan": _event("job:progress:v1", {"progress": float("nan"), "step": ""}),
    "event_nan": _event("search:result:v1", {"score": float("inf")}),
    "end_unknown": _end("exploded"),
    "end_orphaned": _end("orphaned"),
    "end_released": _end("released"),
    "end_no_result": _end("completed"),
    "end_result_no_json": _end("completed", result="NaN,"),
    "end_error_no_map": _end("failed", error="because"),
    "end_parked_on_nothing": _end("parked"),
    "end_parked_on_a_number": _end("parked", waiting={"reason": 5}),
    "preview_no_json": {
        "op": "approve",
        "id": 1,
        "ordinal": 1,
        "action": "x",
        "action_hash": "y",
        "preview": "{",
    },
    "receipt_of_nothing": _RECEIPT,
    "big_integer": {**_STEP, "duration_ms": 2**64 - 1},
}
_BYTES: dict[str, bytes] = {
    "garbage": bytes(range(255, 0, -1)) * 10,
    "huge_claim": (2**32 - 1).to_bytes(4, "big") + b"x" * 1000,
    "invalid_utf8": (13).to_bytes(4, "big") + b"\x81\xa2op\xa5\xff\xfe\xfd\xfc\xfbxyz",
    "deep": (4000).to_bytes(4, "big") + b"\x91" * 4000,
    "half_a_frame": (1000).to_bytes(4, "big") + b"\x81",
}


def _nested(context: Runtime) -> Any:
    def build() -> Any:
        value: Any = 1
        for _ in range(context.input["depth"]):
            value = [value]
        return value

    context.step("nest", build)
    return {}


def _odd_text(context: Runtime) -> dict[str, Any]:
    text = context.step("text", lambda: "a\u0000b नमस्ते \U0001f600 \u2028")
    context.emit("model:chunk:v1", {"step": 1, "offset": 0, "tokens": 1, "text": text})
    return {"text": text, "big": 2**63 - 1}


def _checkpoint(context: Runtime) -> dict[str, Any]:
    frame = {
        "op": "checkpoint",
        "ordinal": 1,
        "position": 1,
        "data": "{}",
        "slot_file": context.input["slot_file"],
    }
    context.channel.send(frame)
    context.step("after", lambda: 1)
    return {}


def _lie_about_effect(context: Runtime) -> None:
    """Intend an effect, and say of it what no worker can."""
    effect = {"ordinal": 1, "name": "pay", "key": "k", "input_hash": "h"}
    context.channel.ask("intend", **effect)
    context.channel.send({**_RECEIPT, **context.input["told"]})
    time.sleep(30)


def _leave_place(context: Runtime) -> None:
    """Save a place with a model's state, and leave its step unfinished."""
    frame = {"op": "checkpoint", "ordinal": 1, "position": 1, "data": "{}", "slot_file": "a.slot"}
    context.channel.send(frame)
    match context.input["then"]:
        case "fail":
            raise Failed("hopeless", "It fails every time.")
        case "choose":
            raise Parked({"reason": "code_changed", "ordinal": 1, "choices": ["go_on"]})
    while context.channel.stop_reason is None:
        time.sleep(0.01)
    context.step("after", lambda: 1)


def _call_flood(context: Runtime) -> dict[str, Any]:
    for number in range(3000):
        context.channel._answers[100_000 + number] = queue.SimpleQueue()
        context.channel.send(
            {"op": "call", "id": 100_000 + number, "service": "none", "arguments": {}}
        )
    context.step("after", lambda: 1)
    return {}


def _escape(context: Runtime) -> dict[str, Any]:
    child = subprocess.Popen([sys.executable, "-S", "-c", _SLEEPER], start_new_session=True)

    def wait() -> None:
        Path(context.input["pids"]).write_text(str(child.pid), encoding="utf-8")
        time.sleep(30)

    context.step("wait", wait)
    return {}


def _grip(_pid: int) -> None:
    ctypes.PyDLL(None).sleep(600)  # foreign code that lets no thread of this process run


def _freeze(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)


def _with_child(hang: Callable[[int], None]) -> Callable[[Runtime], None]:
    """Return an agent that hangs, beside a child of its own that ignores TERM."""

    def act(context: Runtime) -> None:
        child = subprocess.Popen([sys.executable, "-S", "-c", _STUBBORN])

        def wait() -> None:
            Path(context.input["pids"]).write_text(f"{os.getpid()} {child.pid}", encoding="utf-8")
            hang(os.getpid())

        context.step("wait", wait)

    return act


def _raise_surrogate(_context: Runtime) -> None:
    raise ValueError("name \udcff")


_ACTIONS: dict[str, Callable[[Runtime], Any]] = {
    "nested": _nested,
    "odd_text": _odd_text,
    "checkpoint": _checkpoint,
    "leave_place": _leave_place,
    "lie_about_effect": _lie_about_effect,
    "call_flood": _call_flood,
    "call_broken": lambda context: context.call("broken"),
    "ask_ahead": lambda context: context.call("step.result", ordinal=7),
    "escape": _escape,
    "grip": _with_child(_grip),
    "freeze": _with_child(_freeze),
    "raise_surrogate": _raise_surrogate,
    "result_nan": lambda _context: {"x": float("nan")},
    "result_surrogate": lambda _context: "\ud800",
    "result_object": lambda _context: object(),
    "event_surrogate": lambda context: context.emit(
        "model:chunk:v1", {"step": 1, "offset": 0, "tokens": 1, "text": "\ud800"}
    ),
}
