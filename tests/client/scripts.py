"""Scripts that both protocol cores run: what happens, and what each must do about it.

A script is options and steps. `run_script` runs it on the Python core and returns a trace of
plain values; `replay.mjs` does the same with the JavaScript core. The traces must be equal.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from regend.client.actions import Action, Connect, Deliver, Disconnect, Fail, Send, Settle
from regend.client.backoff import Backoff
from regend.client.items import Item, Restarted, Snapshot, StreamEvent
from regend.client.protocol import StreamProtocol
from regend.errors import RegendError

Step = dict[str, Any]
Script = dict[str, Any]

CHANCES = (0.0, 0.25, 0.5, 0.875)


def new_protocol(options: dict[str, Any]) -> StreamProtocol:
    """Return a core whose chances go round and whose keys are k1, k2, …"""
    drawn, made = [0], [0]

    def chance() -> float:
        drawn[0] += 1
        return CHANCES[(drawn[0] - 1) % len(CHANCES)]

    def key() -> str:
        made[0] += 1
        return f"k{made[0]}"

    return StreamProtocol(
        jobs=options.get("jobs"),
        after_seq=options.get("after_seq"),
        epoch=options.get("epoch"),
        random=chance,
        new_key=key,
        backoff=Backoff(),
    )


def run_script(script: Script) -> list[Any]:
    """Return for each step what the Python core did, its state, position and deadline."""
    protocol = new_protocol(script["options"])
    return [run_step(protocol, step) for step in script["steps"]]


def run_step(protocol: StreamProtocol, step: Step) -> dict[str, Any]:
    try:
        actions = [plain(action) for action in _STEPS[step["do"]](protocol, step)]
    except RegendError as error:
        actions = [{"raised": error.code}]
    return {
        "actions": actions,
        "state": protocol.state.value,
        "epoch": protocol.epoch,
        "seq": protocol.seq,
        "deadline_s": protocol.deadline_s,
    }


def _refused(protocol: StreamProtocol, step: Step) -> list[Action]:
    error = RegendError.from_dict({"code": "refused", "message": ""}, step["status"])
    return protocol.refused(step["status"], error, step.get("retry_after_s"), step["at"])


_STEPS: dict[str, Callable[[StreamProtocol, Step], list[Action]]] = {
    "start": lambda protocol, step: protocol.start(step["at"]),
    "opened": lambda protocol, step: protocol.opened(step["at"]),
    "received": lambda protocol, step: protocol.received(step["text"], step["at"]),
    "closed": lambda protocol, step: protocol.closed(step["code"], step["reason"], step["at"]),
    "refused": _refused,
    "timer": lambda protocol, step: protocol.timer(step["at"]),
    "submit": lambda protocol, step: protocol.submit(step["op"], step["fields"], step["at"])[1],
    "close": lambda protocol, step: protocol.close(),
}


def plain(action: Action) -> dict[str, Any]:
    """Return an action as the value that the JavaScript core is compared by."""
    match action:
        case Connect():
            return {"do": "connect"}
        case Disconnect():
            return {"do": "disconnect"}
        case Send(text):
            return {"do": "send", "frame": json.loads(text)}
        case Deliver(items):
            return {"do": "deliver", "items": [plain_item(item) for item in items]}
        case Settle(command_id, answer):
            return {"do": "settle", "id": command_id, **_plain_answer(answer)}
        case Fail(error):
            return {"do": "fail", "code": error.code}


def _plain_answer(answer: dict[str, Any] | RegendError) -> dict[str, Any]:
    return {"error": answer.code} if isinstance(answer, RegendError) else {"answer": answer}


def plain_item(item: Item) -> dict[str, Any]:
    match item:
        case StreamEvent():
            return {"kind": "event", "seq": item.seq, "event": asdict(item)}
        case Snapshot(seq, gap, jobs):
            ends = None if gap is None else {"from": gap.first, "to": gap.last}
            return {"kind": "snapshot", "seq": seq, "gap": ends, "jobs": jobs}
        case Restarted(seq, epoch):
            return {"kind": "restarted", "seq": seq, "epoch": epoch}


def event(seq: int, **changes: Any) -> dict[str, Any]:
    """Return an event of the contract as JSON."""
    base = {
        "seq": seq,
        "job_id": "j1",
        "job_seq": seq,
        "type": "model:chunk:v1",
        "at": "2026-01-01T00:00:00.000Z",
        "data": {"text": f"टुकड़ा {seq}"},
    }
    return base | changes


def frame(op: str, **fields: Any) -> str:
    return json.dumps({"op": op, **fields})


def hello(seq: int, epoch: str = "e1", gap: tuple[int, int] | None = None) -> str:
    ends = None if gap is None else {"from": gap[0], "to": gap[1]}
    return frame("hello", epoch=epoch, seq=seq, resumed=False, gap=ends)


def events(*seqs: int) -> str:
    return frame("events", events=[event(seq) for seq in seqs])


def random_script(seed: int, length: int = 60) -> Script:
    """Return a script of likely and unlikely steps; the same seed gives the same script."""
    dice = random.Random(seed)
    options = {
        "jobs": dice.choice([None, None, ["j1"], []]),
        "after_seq": dice.choice([None, 0, 0, 5, 40]),
        "epoch": dice.choice([None, None, "e1", "e2"]),
    }
    now_s = float(dice.randrange(100))
    steps: list[Step] = [{"do": "start", "at": now_s}, {"do": "opened", "at": now_s}]
    steps.append({"do": "received", "at": now_s, "text": hello(dice.choice([0, 7, 50]))})
    for _ in range(length):
        now_s += dice.choice([0.0, 0.0, 0.01, 0.3, 1.0, 11.0])
        steps.append({**_random_step(dice), "at": now_s})
    return {"name": f"seed {seed}", "options": options, "steps": steps}


def _random_step(dice: random.Random) -> Step:
    kind = dice.choices(
        ["received", "submit", "timer", "opened", "closed", "refused", "burst", "close"],
        [40, 18, 15, 15, 8, 2, 2, 0.3],
    )[0]
    match kind:
        case "received":
            return {"do": kind, "text": _random_frame(dice)}
        case "submit" | "burst":
            return {"do": "submit", **_random_command(dice)}
        case "closed":
            codes = [1000, 1001, 1006, 1011, 1009, 4008, 4008, 4008, 4429, 4401, 4999]
            reasons = ["", "{", '{"after_seq": 3}', '{"after_seq": 99}', '{"retry_after_s": 7}']
            reasons += ['{"after_seq": -1}', "null", "[]", '{"after_seq": "x"}']
            return {"do": kind, "code": dice.choice(codes), "reason": dice.choice(reasons)}
        case "refused":
            return {"do": kind, "status": dice.choice([429, 503, 500, 401, 404, 408])}
    return {"do": kind}


def _random_command(dice: random.Random) -> Step:
    op = dice.choice(["start", "cancel", "subscribe", "unsubscribe", "pause", "dance"])
    if op in ("subscribe", "unsubscribe"):
        jobs = dice.choice([["j2"], ["j1", "j3"], [], [""], "j1", None, ["j" * 70_000]])
        return {"op": op, "fields": {"jobs": jobs}}
    if op == "start":
        text = "x" * dice.choice([3, 3, 3, 70_000])
        return {"op": op, "fields": {"type": "chat", "input": {"prompt": text}}}
    return {"op": op, "fields": {"job_id": "j1"}}


def _random_frame(dice: random.Random) -> str:
    start = dice.randrange(1, 80)
    run = range(start, start + dice.randrange(1, 6))
    gap = dice.choice([None, None, (1, start), (start, start + 3)])
    replies = [
        frame("reply", id=f"c{dice.randrange(1, 12)}", ok=True, job={"id": "j1"}),
        frame("reply", id=f"c{dice.randrange(1, 12)}", ok=False, error={"code": "job_not_found"}),
    ]
    broken = [
        "", "{", "[]", "null", "7", '{"op": 1}', '{"op":"events"}', '{"op":"events","events":[1]}',
        frame("events", events=[event(0)]), frame("events", events=[event(-1)]),
        frame("events", events=[event(2**70)]), frame("events", events=[event(3, data=None)]),
        frame("hello", epoch=None, seq=1), frame("hello", epoch="e1", seq=True),
        frame("hello", epoch="e1", seq=1, gap={"from": 5, "to": 2}), frame("snapshot", jobs=[None]),
        frame("reply", id=1, ok=True), frame("reply", id="c1", ok="yes"),
        frame("reply", id="c1", ok=False),
    ]  # fmt: skip
    return dice.choices(
        [
            events(*run),
            hello(dice.choice([0, start, 90]), dice.choice(["e1", "e1", "e1", "e2"]), gap),
            frame("snapshot", jobs=[{"id": "j1"}]),
            dice.choice(replies),
            frame("dance", steps=3),
            frame("events", events=[event(start, type="job:dance:v9", job_id=None, job_seq=None)]),
            dice.choice(broken),
        ],
        [40, 25, 10, 20, 3, 5, 4],
    )[0]
