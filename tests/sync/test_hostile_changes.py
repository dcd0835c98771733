"""Changes of a member that lies about others' jobs, and of one that means to tire them."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from regend import events
from regend.jobs import approvals, repository
from regend.jobs.approvals import Approval
from regend.jobs.introductions import JOB_COLUMNS
from regend.jobs.terms import chain, first_term, next_term
from regend.jsontext import dumps
from regend.mesh.members import cuts_of
from regend.store.change import LogId
from regend.sync.payloads import CUTS
from tests.jobs.test_lifecycle_machine import new_job
from tests.sync.replicas import Replica, bodies_of, kept, of
from tests.sync.test_told import COLUMNS, CREATED, NEXT, event, told_history, told_job

QUESTION = Approval("question", 1, "hash", None)


@pytest.fixture
async def three(tmp_path: Path) -> AsyncIterator[list[Replica]]:
    devices = [Replica(tmp_path / name) for name in ("one", "two", "thief")]
    for device in devices:
        await device.join()
    yield devices
    for device in devices:
        device.store.close()


def ask(connection: sqlite3.Connection) -> None:
    """Let a job run that waits for a person's word."""
    repository.create(connection, new_job("a"), 1)
    claim = repository.claim(connection, "boot", 1)
    assert claim is not None
    approvals.request(connection, claim.job, claim.fence, QUESTION, "send", '"to Ravi"', 1)


def asked(connection: sqlite3.Connection) -> list[Any]:
    rows = connection.execute(
        "SELECT j.id, a.action, a.state FROM approvals a JOIN jobs j ON j.number = a.job"
    )
    return [tuple(row) for row in rows]


async def test_a_question_stays_that_of_its_job(three: list[Replica]) -> None:
    one, two, thief = three
    await one.store.write(ask)
    await one.meet(two)
    said = [QUESTION.id, 1, "pay", "other", '"the thief"', "pending", 1, None]
    asking = event(events.APPROVAL_REQUESTED, '{"id":"question"}', said, place=3, previous=2)
    lies = told_job(thief.log), told_history(thief.log, CREATED, NEXT, asking)
    for device in (one, two):
        await device.take([of(thief, *bodies_of(lies))])
        assert await device.store.query(asked) == [("a", "send", "pending")]


async def test_an_answer_counts_for_the_job_that_it_names_alone(three: list[Replica]) -> None:
    one, two, thief = three
    await one.store.write(ask)
    await two.store.write(lambda c: repository.create(c, new_job("b"), 1))
    await one.meet(two)
    user = new_job("a").user
    answer = ("set", "b", ["answer question", [user, "approve", "hash"], 1])
    await two.take([of(thief, *bodies_of([answer]))])
    assert await two.store.query(asked) == [("a", "send", "pending")]
    await one.meet(two)
    for device in (one, two):
        told = await device.store.query(
            lambda c: c.execute("SELECT count(*) FROM strays").fetchone()[0]
        )
        assert told == 0, "nobody else wrote into the history of the job"


def test_terms_without_a_beginning_are_looked_at_once_each() -> None:
    log = bytes(16), bytes(8)
    good = first_term("a", *log, 1)
    last, endless = first_term("a", *log, 2), []
    for _ in range(50_000):
        last = next_term("a", last, 1, "forced", *log, 1)
        endless.append(last)
    assert chain([*endless, good]) == [good]


async def test_lives_without_end_keep_nobody_from_revoking_or_talking(
    three: list[Replica],
) -> None:
    one, _, thief = three
    lives = [LogId(thief.log.device, number.to_bytes(8, "big")) for number in range(CUTS + 1)]
    body = bodies_of([("set", "x", ["f", 1, 1])])
    received = await one.take([of(thief, *body, log=life) for life in lives])
    vector = await one.vector()
    assert 0 < len(cuts_of(vector, thief.log.device)) <= CUTS
    refused = [life for life in lives if life not in vector]
    assert received.missing == dict.fromkeys(refused, 1), "its sender is told to wait for none"
    again = await one.take([of(thief, *body, *body, log=lives[0])])
    assert again.changes == 1, "what is known goes on"


def job(**columns: Any) -> tuple[Any, ...]:
    row = dict(zip(JOB_COLUMNS, COLUMNS, strict=True)) | columns
    return told_job(LogId(bytes(16), bytes(8)), list(row.values()))


def state(**data: Any) -> Any:
    return event(events.JOB_STATE, dumps({"from": "running", "to": "waiting", **data}))


LINES = [2, 1, events.JOB_STATE, 1000, '{"from":"created",\n\n"to":"running"}', None]


@pytest.mark.parametrize(
    "changes",
    [
        *([("job", id, list(COLUMNS), list(first_term(id, bytes(16), bytes(8), 1)))] for id in (
            *('x","state":"completed', "\x1b[2J", "a\nb", "../a", "a/b", "", "a" * 101),
        )),
        *([told_history(LogId(bytes(16), bytes(8)), one)] for one in (
            *(LINES, event("x\nid: 999999", "{}"), event('x","seq":9', "{}"), event("", "{}")),
            *(state(waiting={"choices": 7}), state(waiting={"choices": [7]})),
            *(state(waiting={"reason": 5}), state(error={"message": [1]})),
            event(events.JOB_FAILED, '{"error":{"code":{}}}'),
            event(events.JOB_STEP, '{"ordinal":1}'),
        )),
        *([one] for one in (job(type="\x1b[2J"), job(parent_id="\x1b[2J"), job(type=""))),
    ],
)  # fmt: skip
async def test_what_would_break_what_clients_show_is_not_taken(
    three: list[Replica], changes: list[Any]
) -> None:
    one, _, thief = three
    await one.take([of(thief, *bodies_of([*changes, ("set", "x", ["f", 1, 1])]))])
    assert await kept(one) == [1]
