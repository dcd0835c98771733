"""What each rule of `regend.client` demands, as scripts with their expected actions."""

from __future__ import annotations

from typing import Any

from regend.limits import STREAM_VIOLATIONS
from tests.client.scripts import Script, Step, event, events, frame, hello

CONNECT = {"do": "connect"}
DISCONNECT = {"do": "disconnect"}


def say_hello(after_seq: int | None, epoch: str | None, jobs: list[str] | None = None) -> Any:
    content = {"op": "hello", "epoch": epoch, "after_seq": after_seq, "jobs": jobs}
    return {"do": "send", "frame": content}


def deliver(*items: Any) -> Any:
    return {"do": "deliver", "items": list(items)}


def shown(*seqs: int) -> Any:
    return deliver(*({"kind": "event", "seq": seq, "event": event(seq)} for seq in seqs))


def restarted(seq: int, epoch: str) -> Any:
    return {"kind": "restarted", "seq": seq, "epoch": epoch}


def snapshot(seq: int, gap: dict[str, int] | None) -> Any:
    return {"kind": "snapshot", "seq": seq, "gap": gap, "jobs": [{"id": "j1"}]}


def command(number: int, op: str, **fields: Any) -> Any:
    content = {"op": op, "id": f"c{number}", "idempotency_key": f"k{number}", **fields}
    return {"do": "send", "frame": content}


def step(do: str, at: float, *expect: Any, **fields: Any) -> Step:
    return {"do": do, "at": at, "expect": list(expect), **fields}


def received(at: float, text: str, *expect: Any) -> Step:
    return step("received", at, *expect, text=text)


def opening(at: float, *hello_expected: Any) -> list[Step]:
    return [step("start", at, CONNECT), step("opened", at, *hello_expected)]


def again(at: float, *hello_expected: Any) -> list[Step]:
    """The wait is over, and the connection opens."""
    return [step("timer", at, CONNECT), step("opened", at, *hello_expected)]


def lost(at: float, code: int = 1006, reason: str = "") -> Step:
    return step("closed", at, code=code, reason=reason)


def script(name: str, options: dict[str, Any], *steps: Step | list[Step]) -> Script:
    flat = [one for part in steps for one in (part if isinstance(part, list) else [part])]
    return {"name": name, "options": options, "steps": flat}


ALL: dict[str, Any] = {"after_seq": 0}
CANCEL = {"op": "cancel", "fields": {"job_id": "j1"}}
SNAPSHOT = frame("snapshot", jobs=[{"id": "j1"}])
REPLY_1 = frame("reply", id="c1", ok=True, job={"id": "j1"})
SETTLED_1 = {"do": "settle", "id": "c1", "answer": {"job": {"id": "j1"}}}

SCENARIOS = [
    script(
        "rule 1: duplicates are dropped, also old ones that come late and out of order",
        ALL,
        opening(0, say_hello(0, None)),
        received(0, hello(9)),
        received(0, events(1, 3, 4), shown(1, 3, 4)),
        received(0, events(1, 3, 4)),
        received(0, events(4, 3, 5, 4, 9), shown(5, 9)),
    ),
    script(
        "rule 2: from now on means from the position of the first hello, also after a loss",
        {},
        opening(0, say_hello(None, None)),
        received(0, hello(7)),
        received(0, events(6, 7)),
        lost(1),
        again(20, say_hello(7, "e1")),
    ),
    script(
        "rule 2: commands wait for the hello of the daemon",
        ALL,
        step("start", 0, CONNECT),
        step("submit", 0, **CANCEL),
        step("opened", 0, say_hello(0, None)),
        received(0, hello(0), command(1, "cancel", job_id="j1")),
    ),
    script(
        "rule 3: a gap is shown once, by its snapshot, and moves the position to its end",
        ALL,
        opening(0, say_hello(0, None)),
        received(0, hello(20, gap=(1, 10))),
        received(0, SNAPSHOT, deliver(snapshot(10, {"from": 1, "to": 10}))),
        received(0, events(11), shown(11)),
    ),
    script(
        "rule 3: a connection lost between gap and snapshot asks from the old position",
        {"after_seq": 5},
        opening(0, say_hello(5, None)),
        received(0, hello(20, gap=(1, 10))),
        lost(0),
        again(20, say_hello(5, "e1")),
        received(20, hello(20, gap=(1, 10))),
        received(20, SNAPSHOT, deliver(snapshot(10, {"from": 6, "to": 10}))),
    ),
    script(
        "rule 3: events before an owed snapshot cut the connection",
        ALL,
        opening(0, say_hello(0, None)),
        received(0, hello(20, gap=(1, 10))),
        received(0, events(11), DISCONNECT),
        again(20, say_hello(0, "e1")),
    ),
    script(
        "rule 4: another epoch starts again from 0 where history was asked for",
        ALL,
        opening(0, say_hello(0, None)),
        received(0, hello(3)),
        received(0, events(3), shown(3)),
        lost(0),
        again(20, say_hello(3, "e1")),
        received(20, hello(9, "e2"), deliver(restarted(0, "e2")), DISCONNECT),
        again(40, say_hello(0, "e2")),
        received(40, hello(9, "e2")),
        received(40, events(1, 2), shown(1, 2)),
    ),
    script(
        "rule 4: a newest seq below our position is another history, whatever its epoch",
        {"after_seq": 50},
        opening(0, say_hello(50, None)),
        received(0, hello(9), deliver(restarted(0, "e1")), DISCONNECT),
        again(20, say_hello(0, "e1")),
    ),
    script(
        "rule 4: a stream from now on starts again from the position of the new hello",
        {"epoch": "e1"},
        opening(0, say_hello(None, "e1")),
        received(0, hello(9, "e2"), deliver(restarted(9, "e2")), DISCONNECT),
        again(20, say_hello(9, "e2")),
    ),
    script(
        "rule 5: a command is sent again, the same, until it is answered, and settled once",
        ALL,
        opening(0, say_hello(0, None)),
        received(0, hello(0)),
        step("submit", 0, command(1, "cancel", job_id="j1"), **CANCEL),
        lost(1),
        again(20, say_hello(0, "e1")),
        received(20, hello(0), command(1, "cancel", job_id="j1")),
        received(20, REPLY_1, SETTLED_1),
        received(20, REPLY_1),
        lost(21),
        again(40, say_hello(0, "e1")),
        received(40, hello(0)),
    ),
    script(
        "rule 5: what is unanswered at the end is settled with an error",
        ALL,
        opening(0, say_hello(0, None)),
        step("submit", 0, **CANCEL),
        step("close", 0, DISCONNECT, {"do": "settle", "id": "c1", "error": "stream_closed"}),
        step("submit", 0, {"raised": "stream_closed"}, **CANCEL),
    ),
    script(
        "rule 6: hello carries the present subscription, and a refused job is taken back",
        {"after_seq": 0, "jobs": ["j1"]},
        opening(0, say_hello(0, None, ["j1"])),
        step("submit", 0, op="subscribe", fields={"jobs": ["j2", "j3"]}),
        step("submit", 0, op="unsubscribe", fields={"jobs": ["j3"]}),
        lost(0),
        again(20, say_hello(0, None, ["j1", "j2"])),
        received(
            20,
            hello(0),
            command(1, "subscribe", jobs=["j2", "j3"]),
            command(2, "unsubscribe", jobs=["j3"]),
        ),
        received(
            20,
            frame("reply", id="c1", ok=False, error={"code": "job_not_found"}),
            {"do": "settle", "id": "c1", "error": "job_not_found"},
        ),
        lost(21),
        again(50, say_hello(0, "e1", ["j1"])),
    ),
    script(
        "rule 6: a stream of all jobs needs no subscribe and cannot leave one out",
        ALL,
        opening(0, say_hello(0, None)),
        step(
            "submit",
            0,
            {"do": "settle", "id": "c1", "answer": {}},
            op="subscribe",
            fields={"jobs": ["j2"]},
        ),
        step(
            "submit",
            0,
            {"raised": "stream_follows_all"},
            op="unsubscribe",
            fields={"jobs": ["j2"]},
        ),
    ),
    script(
        "rule 7: 4401 ends the stream",
        ALL,
        opening(0, say_hello(0, None)),
        step(
            "closed",
            0,
            DISCONNECT,
            {"do": "fail", "code": "not_authenticated"},
            code=4401,
            reason="",
        ),
    ),
    script(
        "rule 7: 4429 waits as long as the reason asks",
        ALL,
        opening(0, say_hello(0, None)),
        lost(0, 4429, '{"retry_after_s": 30}'),
        step("timer", 29.9),
        step("timer", 30, CONNECT),
    ),
    script(
        "rule 7: 4008 goes on from its resume point, but never beyond what we have seen",
        ALL,
        opening(0, say_hello(0, None)),
        received(0, hello(9)),
        received(0, events(1, 2, 3), shown(1, 2, 3)),
        lost(1, 4008, '{"after_seq": 2}'),
        again(20, say_hello(2, "e1")),
        received(20, hello(9)),
        received(20, events(3, 4), shown(4)),
        lost(21, 4008, '{"after_seq": 9}'),
        again(40, say_hello(4, "e1")),
    ),
    script(
        "rule 8: the wait starts within a quarter and half a second and grows to ten at most",
        ALL,
        step("start", 0, CONNECT),
        lost(0),
        step("timer", 0.24),
        step("timer", 0.25, CONNECT),
        [
            one
            for turn in range(1, 12)
            for one in (lost(20.0 * turn), step("timer", 20.0 * turn + 10, CONNECT))
        ],
    ),
    script(
        "rule 9: a daemon that cannot be understood is left after some tries",
        ALL,
        step("start", 0, CONNECT),
        [
            one
            for turn in range(STREAM_VIOLATIONS - 1)
            for one in (
                step("opened", 20.0 * turn, say_hello(0, None)),
                received(20.0 * turn, "[]", DISCONNECT),
                step("timer", 20.0 * turn + 15, CONNECT),
            )
        ],
        step("opened", 200, say_hello(0, None)),
        received(200, "[]", DISCONNECT, {"do": "fail", "code": "protocol_violation"}),
    ),
    script(
        "rule 9: a frame that is broken in one event is refused whole",
        ALL,
        opening(0, say_hello(0, None)),
        received(0, hello(9)),
        received(0, frame("events", events=[event(1), event(2, data="x")]), DISCONNECT),
        again(20, say_hello(0, "e1")),
    ),
    script(
        "rule 10: unknown operations are ignored and unknown types handed on",
        ALL,
        opening(0, say_hello(0, None)),
        received(0, frame("dance")),
        received(0, hello(9)),
        received(0, frame("dance", steps=[1])),
        received(
            0,
            frame("events", events=[event(4, type="job:dance:v9", job_id=None, job_seq=None)]),
            deliver(
                {
                    "kind": "event",
                    "seq": 4,
                    "event": event(4, type="job:dance:v9", job_id=None, job_seq=None),
                }
            ),
        ),
    ),
    script(
        "a daemon that opens and never says hello is left after ten seconds",
        ALL,
        opening(0, say_hello(0, None)),
        step("timer", 9.9),
        step("timer", 10, DISCONNECT),
        again(30, say_hello(0, None)),
    ),
]
