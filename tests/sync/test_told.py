"""What a member may say of jobs: what is unfit is refused alike, and costs nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from regend import events
from regend.jobs import repository
from regend.jobs.terms import Term, first_term, next_term
from regend.jobs.view import job_object
from regend.mesh.statehash import state_hash
from regend.store.change import LogId
from tests.sync.replicas import Replica, anything, bodies_of, kept, of

JOB_ID = "0190a0b0-0000-7000-8000-000000000001"
GOOD = ("set", "good", ["f", "value", 1])


COLUMNS = ("owner", "chat", "A job", 0, 3, 1, "none", "{}", None, "there", 1000)


def told_job(log: LogId, columns: Sequence[Any] = COLUMNS, job_id: str = JOB_ID) -> tuple[Any, ...]:
    return ("job", job_id, list(columns), list(first_term(job_id, *log, 1)))


def told_history(log: LogId, *happened: Any, job_id: str = JOB_ID) -> tuple[Any, ...]:
    return ("history", job_id, first_term(job_id, *log, 1).id, list(happened))


CREATED = [1, 0, events.JOB_CREATED, 1000, '{"type":"chat"}', None]
NEXT = [2, 1, events.JOB_STATE, 1000, '{"from":"created","to":"running","attempt":1}', None]


def event(type_name: str, data: str, extra: Any = None, place: Any = 2, previous: Any = 1) -> Any:
    return [place, previous, type_name, 1000, data, extra]


STEP_DATA = '{"ordinal":1,"name":"s","duration_ms":1}'
UNFIT_EVENTS = (
    *(event(events.JOB_STATE, data) for data in (
        *("", "{", "[]", "null", "5", '"x"', '{"to":"created"}', '{"from":"created"}'),
        *('{"from":"created","to":"zombie","x":{"to":"created"}}', '{"from":1,"to":[]}'),
        *('{"from":"created","to":"running","attempt":"1"}', "[" * 100_000),
        *('{"from":"created","to":"running","attempt":-1}', '{"from":"a","to":"created"}'),
        '{"from":"created","to":"running","desired":5}',
        '{"from":"running","to":"created","error":1}',
    )),
    *(event(events.JOB_PROGRESS, data) for data in (
        *('{"progress":"x","step":"s"}', '{"progress":NaN,"step":"s"}', '{"progress":5}'),
        *('{"progress":1e999,"step":"s"}', '{"progress":-1,"step":"s"}', "{}"),
        *('{"progress":' + "9" * 400 + ',"step":"s"}', '{"progress":5,"step":[]}'),
        '{"progress":101,"step":"s"}',
    )),
    *(event(events.JOB_STEP, data) for data in ("nonsense", "{}", '{"ordinal":"x"}')),
    *(event("other:kind:v1", data) for data in ("nonsense", "[]", '{"a":Infinity}', '"\\ud800"')),
    *(event(events.JOB_FAILED, data) for data in ("{}", '{"error":5}')),
    *(event(events.JOB_TAKEOVER, data) for data in ("{}", '{"device":5}')),
    *(event(events.MODEL_CHUNK, data) for data in (
        *("{}", '{"text":"x","offset":0}', '{"text":5,"offset":0,"tokens":1}'),
        *('{"text":"x","offset":"0","tokens":1}', '{"text":"x","offset":0,"tokens":-1}'),
        *('{"text":"x","offset":9e99,"tokens":1}', '{"text":"x","offset":0,"tokens":1,"step":[]}'),
    )),
    event(events.MODEL_COMPLETE, '{"elapsed_s":"soon"}'),
    event(events.MODEL_COMPLETE, '{"usage":[1],"elapsed_s":1}'),
    event(events.SEARCH_RESULT, '{"hits":[5]}'),
    event(events.SEARCH_RESULT, '{"hits":[{"span":"x"}]}'),
    event(events.JOB_RESUMED, '{"resume":"exact"}'),
    event(events.JOB_CREATED, '{"title":"t"}'),
    *(event(events.JOB_STEP, STEP_DATA, extra) for extra in (
        *([], [1], "text", 5, [1, "s", "h", "{}", 1, 1, 1], [1, None, "h", "{}", 1, 1]),
        *([-1, "s", "h", "{}", 1, 1], [1 << 70 >> 7, "s", "h", "nonsense", 1, 1]),
        *([1, "s", "h", "@../../../etc/passwd", 1, 1], [1, "s", "h", "@" + "f" * 63, 1, 1]),
        *([1, "s", "h", "@" + "F" * 64, 1, 1], [1.5, "s", "h", "{}", 1, 1]),
    )),
    *(event(events.JOB_CHECKPOINT, '{"ordinal":1,"position":2}', extra) for extra in (
        *([1, 2, "{}", "../x", 1], [1, 2, "{}", b"x", 1], [1, "2", "{}", None, 1]),
    )),
    *(event(events.JOB_COMPLETED, '{"result":null}', extra) for extra in (
        *([b"x"], ["nonsense"], [], [1, 2], ["@/etc/passwd"]),
    )),
    *(event(events.APPROVAL_REQUESTED, '{"id":"a"}', extra) for extra in ([], [1] * 8)),
    *(event(events.JOB_STATE, str(NEXT[4]), None, place, previous) for place, previous in (
        *((1, 1), (0, 1), (-5, 1), (2, 2), (2, 5), (1 << 60, 1), ("2", 1), (2, "1"), (2.0, 1)),
        *((True, 0), (2, -1), (None, None)),
    )),
    *([2, 1, type_name, 1000, "{}", None] for type_name in anything(None, 5, b"x", [])),
    *([2, 1, "other:kind:v1", at, "{}", None] for at in anything(None, "x", 1 << 63, 1.5)),
    *([2, 1, "other:kind:v1", 1000, data, None] for data in anything(None, b"{}", 5, {})),
    *(None, 5, "text", [], [1], [2, 1, "x", 1, "{}"], [2, 1, "x", 1, "{}", None, 1], {}),
)  # fmt: skip


async def state_of(device: Replica, log: LogId) -> tuple[Any, ...]:
    """Return which changes of a log were of no use, and the state of its job."""

    def read(connection: sqlite3.Connection) -> tuple[Any, ...]:
        rows = connection.execute(
            "SELECT u.seq FROM unfolded u JOIN logs l ON l.number = u.log WHERE l.device = ?",
            (log.device,),
        ).fetchall()
        row = repository.find(connection, None, log.device.hex())
        return [row[0] for row in rows], job_object(row, device.store.blobs)["state"]

    return await device.store.query(read)


@pytest.mark.parametrize("at", range(0, len(UNFIT_EVENTS), 16))
async def test_an_unfit_event_costs_its_change_and_is_refused_whatever_came_first(
    tmp_path: Path, at: int
) -> None:
    early, late = Replica(tmp_path / "early"), Replica(tmp_path / "late")
    for device in (early, late):
        await device.join()
    for number, unfit in enumerate(UNFIT_EVENTS[at : at + 16]):
        log = LogId(number.to_bytes(16, "big"), b"i" * 8)
        job_id = log.device.hex()
        job, created = told_job(log, job_id=job_id), told_history(log, CREATED, job_id=job_id)
        bad, then = (told_history(log, one, job_id=job_id) for one in (unfit, NEXT))
        await early.take([of(early, *bodies_of([job, created, bad, then]), log=log)])
        # The same from a log that tells of the job last.
        await late.take([of(late, *bodies_of([bad, then, created, job]), log=log)])
        assert await state_of(early, log) == ([3], "running"), unfit
        assert await state_of(late, log) == ([1], "running"), unfit
    assert await early.store.query(state_hash) == await late.store.query(state_hash)
    for device in (early, late):
        device.store.close()


ODD_COLUMNS: tuple[Any, ...] = (b"x", 1.5, [], 1 << 63, float("nan"), {})


def _job_with(at: int, odd: Any, log: LogId) -> tuple[Any, ...]:
    return told_job(log, [*COLUMNS[:at], odd, *COLUMNS[at + 1 :]])


def _circle(log: LogId) -> list[Any]:
    """Return a term that claims to follow on itself."""
    return list(Term(b"c" * 8, 2, b"c" * 8, 0, "forced", *log, 1))


UNFIT_CHANGES: Sequence[Callable[[LogId], tuple[Any, ...]]] = (
    *(partial(_job_with, at, odd) for at in range(len(COLUMNS)) for odd in ODD_COLUMNS),
    lambda log: ("job", JOB_ID, [], list(first_term(JOB_ID, *log, 1))),
    lambda log: ("job", 5, told_job(log)[2], list(first_term(JOB_ID, *log, 1))),
    lambda log: ("job", "", told_job(log)[2], list(first_term("", *log, 1))),
    lambda log: ("job", JOB_ID, told_job(log)[2], list(first_term("another", *log, 1))),
    lambda log: ("job", JOB_ID, told_job(log)[2]),
    lambda log: ("job", JOB_ID, told_job(log)[2], _circle(log)),
    lambda log: ("job", JOB_ID, told_job(log)[2], [b"x" * 8, -1, b"", 0, "begun", *log, 1]),
    lambda log: ("job", JOB_ID, told_job(log)[2], [b"x" * 8, 1, b"", 0, "stolen", *log, 1]),
    lambda log: ("term", JOB_ID, _circle(log)),
    lambda log: ("term", JOB_ID, []),
    lambda log: ("term", JOB_ID),
    lambda log: ("term", None, list(first_term(JOB_ID, *log, 1))),
    lambda log: ("history",),
    lambda log: ("history", JOB_ID, first_term(JOB_ID, *log, 1).id, 5),
    lambda log: ("history", JOB_ID, "term", [CREATED]),
    lambda log: ("history", 5, first_term(JOB_ID, *log, 1).id, [CREATED]),
    lambda log: ("effect", JOB_ID),
    lambda log: ("effect", JOB_ID, []),
    lambda log: ("effect", JOB_ID, [1, "n", "k", "h", "intended", None, "x", None, 1]),
    lambda log: ("effect", JOB_ID, [1 << 62, "n", "k", "h", "intended", None, 1, None, 1]),
    lambda log: ("effect", JOB_ID, [1, "n", "k", "h", "done", "@../x", 1, 1, 1]),
    lambda log: ("effect", 7, [1, "n", "k", "h", "done", "{}", 1, 1, 1]),
)  # fmt: skip


async def test_what_cannot_be_of_a_job_costs_only_its_change(tmp_path: Path) -> None:
    device = Replica(tmp_path / "device")
    await device.join()
    for number, make in enumerate(UNFIT_CHANGES):
        log = LogId(number.to_bytes(16, "big"), b"u" * 8)
        await device.take([of(device, *bodies_of([make(log), GOOD]), log=log)])
        rows = await device.store.query(
            lambda c, log=log: c.execute(  # type: ignore[misc]
                "SELECT u.seq FROM unfolded u JOIN logs l ON l.number = u.log WHERE l.device = ?",
                (log.device,),
            ).fetchall()
        )
        assert rows == [(1,)], make(log)
    jobs = await device.store.query(lambda c: c.execute("SELECT id FROM jobs").fetchall())
    assert jobs == []
    assert not await device.store.query(lambda c: c.execute("SELECT 1 FROM terms").fetchall())
    device.store.close()


async def test_a_term_whose_predecessor_is_not_known_waits(tmp_path: Path) -> None:
    one, two = Replica(tmp_path / "one"), Replica(tmp_path / "two")
    await two.join()
    begun = first_term(JOB_ID, *one.log, 1)
    then = next_term(JOB_ID, begun, 2, "forced", *two.log, 2)
    last = next_term(JOB_ID, then, 2, "forced", *one.log, 3)
    third = LogId(b"3" * 16, b"3" * 8)
    late = LogId(b"4" * 16, b"4" * 8)
    await two.take([of(two, *bodies_of([("term", JOB_ID, list(last))]), log=third)])
    await two.take([of(one, *bodies_of([told_job(one.log), told_history(one.log, CREATED, NEXT)]))])
    row = await two.store.query(lambda c: c.execute("SELECT term, job_seq FROM jobs").fetchone())
    assert row == (begun.id, 2)
    await two.take([of(two, *bodies_of([("term", JOB_ID, list(then))]), log=late)])
    row = await two.store.query(lambda c: c.execute("SELECT term, remote FROM jobs").fetchone())
    assert row == (last.id, 1)
    for device in (one, two):
        device.store.close()


async def test_what_is_known_of_an_effect_is_the_same_in_any_order(tmp_path: Path) -> None:
    """The job, and what two devices did of it after a forced takeover."""
    one, two = (LogId(name * 16, b"i" * 8) for name in (b"1", b"2"))
    first = [1, "pay", "k", "h"]
    logs = {
        one: [
            told_job(one),
            ("effect", JOB_ID, [*first, "intended", None, 5, None, 1]),
            ("effect", JOB_ID, [*first, "unknown", None, 5, 6, 2]),
            ("effect", JOB_ID, [*first, "repeat", None, 5, 6, 3]),
        ],
        two: [
            ("effect", JOB_ID, [*first, "intended", None, 7, None, 4]),
            # Begun twice, each time as if it were the first.
            ("effect", JOB_ID, [2, "post", "other", "i", "intended", None, 4, None, 1]),
            ("effect", JOB_ID, [*first, "done", '"receipt"', 7, 8, 5]),
            ("effect", JOB_ID, [2, "mail", "k", "h", "intended", None, 9, None, 1]),
        ],
    }
    states = []
    for number, order in enumerate(((one, two), (two, one))):
        device = Replica(tmp_path / f"device-{number}")
        await device.join()
        for log in order:
            await device.take([of(device, *bodies_of(logs[log]), log=log)])
        assert await kept(device) == []
        rows = await device.store.query(
            lambda c: c.execute("SELECT * FROM effects ORDER BY ordinal").fetchall()
        )
        states.append((rows, await device.store.query(state_hash)))
        device.store.close()
    assert states[0] == states[1]
    assert [row[2:] for row in states[0][0]] == [
        ("pay", "k", "h", "done", '"receipt"', 7, 8, 5),
        ("post", "other", "i", "intended", None, 4, None, 1),
    ]
