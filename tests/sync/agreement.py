"""What devices that have the same changes agree on, numbered in `assert_agreement`."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, get_args

from regend.events import JOB_STEP
from regend.jobs import mirror, orphans, wishes
from regend.jobs.account import Kind
from regend.jobs.folding import AWAY, HERE
from regend.jobs.lifecycle import TERMINAL
from regend.jobs.projection import Shape, after
from regend.jobs.terms import Term, belongs, branch, chain
from regend.mesh.lives import life_of
from regend.mesh.statehash import state_hash
from regend.store.change import LogId, unpack
from tests.sync.pocket import Device

KINDS = get_args(Kind)
SHOWN = (
    *("id", "title", "state", "desired", "progress", "step", "attempt", "result", "error"),
    *("waiting", "created_at", "updated_at", "finished_at", "device", "owner_device", "job_seq"),
)


def assert_agreement(devices: list[Device]) -> None:
    """What devices that have the same changes agree on.

    1. The state hash, every job's row, history, which has no gap, and steps.
    2. The row is what the history makes of it.
    3. Every event that a device recorded is in the history or beside it, once.
    4. A device works on a job only in its own term, and not past what it gave away.
    5. One device holds a job, the one of the last term; a running job has an attempt there.
    6. A cancelled job goes on nowhere.
    7. What a person asked elsewhere of a job was done, or is said to be overtaken.
    8. What people are told of a job's forks; every step that ran twice is in it.
    """
    told, terms = told_by(devices), terms_on(devices[0])
    assert_same(devices, told, terms)
    for job_id, known in terms.items():
        assert_terms_are_kept(job_id, known, told[job_id])
        assert_one_holds(devices, job_id, known)


def assert_convergence(devices: list[Device]) -> None:
    """Hold devices of which some are copies of others to the first three points."""
    assert_same(devices, told_by_copies(devices), terms_on(devices[0]))


def assert_of_one_mesh(devices: Sequence[Device], newcomer: Device) -> None:
    """Hold members of one mesh, from which others may be out, to the first three points.

    What any of them recorded is in the logs that all have; of those who are out, what counts is.

    Args:
        newcomer: took in the same logs, in another order, and wrote none of them.
    """
    for device in devices:
        assert device.vector() == devices[0].vector()
    told, terms = told_in_logs(devices[0]), terms_on(devices[0])
    assert_same([*devices, newcomer], told, terms)
    for device in devices:
        for row in device.jobs().values():
            last = chain(terms[row["id"]])[-1]
            own = device.log == LogId(last.device, last.incarnation)
            assert row["remote"] == AWAY or own
            if row["remote"] == HERE and row["state"] == "running":
                assert device.holds.get(row["number"]) == row["fence"]


def told_in_logs(device: Device) -> _Told:
    """Return the events of each job that stand in any log, by branch and place."""
    found: _Told = defaultdict(dict)
    for log, place in device.vector().items():
        bodies: dict[int, bytes] = {}
        for frame, said in map(device.reopen, device.frames(log, 0)):
            bodies |= dict(enumerate(said, frame.header.first))
        for body in (bodies[seq] for seq in range(1, place.seq + 1)):
            change = unpack(body)
            if change.kind != mirror.HISTORY:
                continue
            by = branch(change.fields[1], *life_of(log, change))
            for place_, _previous, type_name, at, data, _extra in change.fields[2]:
                found[change.fields[0]][by, place_] = (place_, type_name, at, data)
    return found


_Told = dict[str, dict[tuple[bytes, int], tuple[Any, ...]]]


def assert_same(devices: list[Device], told: _Told, terms: dict[str, list[Term]]) -> None:
    first = devices[0]
    for device in devices:
        assert state_hash(device.connection) == state_hash(first.connection)
        assert not device.connection.execute("SELECT * FROM unfolded").fetchall()
        assert terms_on(device) == terms
        jobs = device.jobs()
        assert jobs.keys() == first.jobs().keys()
        for job_id, row in jobs.items():
            model = first.jobs()[job_id]
            shown = device.events(row["number"])
            differing = {n: (row[n], model[n]) for n in SHOWN if row[n] != model[n]}
            assert not differing, differing
            assert shown == first.events(model["number"])
            assert device.steps(row["number"]) == first.steps(model["number"])
            assert [event[0] for event in shown] == list(range(1, len(shown) + 1))
            assert_row_is_of_history(row, shown)
            assert_each_event_once(device, row, shown, told[job_id], terms[job_id])
            account = orphans.told(device.connection, job_id, bytes.hex)
            assert account == orphans.told(first.connection, job_id, bytes.hex)
            done = told_in_settled(first, told[job_id], terms[job_id])
            assert_account_is_whole(shown, done, terms[job_id], account)


def told_in_settled(
    device: Device, told: dict[tuple[bytes, int], tuple[Any, ...]], terms: list[Term]
) -> dict[tuple[bytes, int], tuple[Any, ...]]:
    """Return what was recorded in terms of which all before them are known.

    What follows on a term that a revoked device began past its cut is on record, and not told of.
    """
    known = {b""}
    for term in sorted(terms, key=lambda one: one.number):
        known |= {term.id} if term.previous in known else set()
    logs = device.connection.execute("SELECT device, incarnation FROM logs").fetchall()
    settled = {branch(term, *log) for term in known for log in logs}
    return {key: event for key, event in told.items() if key[0] in settled}


def told_by_copies(devices: list[Device]) -> _Told:
    """Return the events of each job that devices recorded in any life, by branch and place."""
    found: _Told = defaultdict(dict)
    for device in devices:
        for log, _, body in device.written():
            change = unpack(body)
            if change.kind != mirror.HISTORY:
                continue
            by = branch(change.fields[1], *life_of(log, change))
            for place, _previous, type_name, at, data, _extra in change.fields[2]:
                event = (place, type_name, at, data)
                assert found[change.fields[0]].setdefault((by, place), event) == event
    return found


def told_by(devices: list[Device]) -> _Told:
    """Return the events of each job that devices recorded, by branch and place (4)."""
    found: _Told = defaultdict(dict)
    for device in devices:
        for _, current, body in device.written():
            change = unpack(body)
            if not current or change.kind != mirror.HISTORY:
                continue
            job_id, term, said = change.fields
            by = branch(term, *device.log)
            held = {one.id: LogId(one.device, one.incarnation) for one in terms_on(device)[job_id]}
            assert held[term] == device.log, "a device works only in a term of its own"
            for place, _previous, type_name, at, data, _extra in said:
                assert (by, place) not in found[job_id]
                found[job_id][by, place] = (place, type_name, at, data)
    return found


def terms_on(device: Device) -> dict[str, list[Term]]:
    ids = device.connection.execute("SELECT DISTINCT job_id FROM terms").fetchall()
    return {row[0]: sorted(mirror.terms_of(device.connection, row[0])) for row in sorted(ids)}


def assert_row_is_of_history(row: sqlite3.Row, shown: list[tuple[Any, ...]]) -> None:
    shape = Shape(device=row["owner_device"], updated_at=row["created_at"])
    for _, type_name, at, data in shown:
        shape = after(shape, type_name, at, data, row["result"])
    for name in ("state", "desired", "progress", "step", "attempt", "error", "waiting"):
        assert getattr(shape, name) == row[name], name
    assert (shape.updated_at, shape.finished_at) == (row["updated_at"], row["finished_at"])
    assert (shape.finished_at is not None) == (row["state"] in TERMINAL)


def assert_each_event_once(
    device: Device,
    row: sqlite3.Row,
    shown: list[tuple[Any, ...]],
    told: dict[tuple[bytes, int], tuple[Any, ...]],
    terms: list[Term],
) -> None:
    strays = device.connection.execute(
        "SELECT branch, place, type, at, data FROM strays WHERE job_id = ?", (row["id"],)
    ).fetchall()
    beside = {(one[0], one[1]): tuple(one[1:]) for one in strays}
    # What follows on what a revoked device did past its cut is the history's, and stays beside it.
    of_history = {key for key in told if belongs(chain(terms), *key)}
    part = {key for key in of_history if key[1] <= len(shown)}
    assert part == of_history or len(shown) + 1 not in {place for _, place in of_history}
    assert {told[key] for key in part} == {tuple(event) for event in shown}
    assert len(part) == len(shown)
    assert beside == {key: told[key] for key in told.keys() - part}


def assert_account_is_whole(
    shown: list[tuple[Any, ...]],
    told: dict[tuple[bytes, int], tuple[Any, ...]],
    terms: list[Term],
    account: list[dict[str, Any]],
) -> None:
    here = {json.loads(event[3])["ordinal"] for event in shown if event[1] == JOB_STEP}
    beside = {
        json.loads(event[3])["ordinal"]
        for key, event in told.items()
        if event[1] == JOB_STEP and not belongs(chain(terms), *key)
    }
    said = {
        kind: {n for one in account if one["kind"] == kind for n in one["steps"]} for kind in KINDS
    }
    assert said["twice"] == here & beside
    assert said["beside"] == beside - here
    forced = sum(one.how == "forced" for one in chain(terms))
    assert sum(one["kind"] == "forced" for one in account) == forced


def assert_terms_are_kept(
    job_id: str, terms: list[Term], told: dict[tuple[bytes, int], tuple[Any, ...]]
) -> None:
    by_id = {one.id: one for one in terms}
    grants: dict[bytes, int] = defaultdict(int)
    for one in terms:
        if one.how != "granted":
            continue
        grants[one.previous] += 1
        given = by_id[one.previous].branch
        assert max([p for by, p in told if by == given], default=0) <= one.base, job_id
    assert all(count == 1 for count in grants.values()), "a job is given once"


def assert_one_holds(devices: list[Device], job_id: str, terms: list[Term]) -> None:
    last = chain(terms)[-1]
    for device in devices:
        row = device.jobs()[job_id]
        own = device.log == LogId(last.device, last.incarnation)
        assert row["remote"] == (HERE if own else AWAY)
        if own and row["state"] == "running":
            assert device.holds.get(row["number"]) == row["fence"]
        if not own:
            continue
        became = wishes.became(device.connection, row["number"], job_id)
        assert set(became.values()) <= {"done", "overtaken"}, became
        if became.get("cancel") == "done":
            assert row["state"] == "cancelled" or row["desired"] == "cancel"
