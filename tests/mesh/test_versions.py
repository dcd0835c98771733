"""A device of the next version beside others: what they do not know yet, they keep and hand on."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from typing import Any, Final

import pytest

from regend.clock import SystemClock
from regend.mesh import jobs
from regend.mesh.jobs import JOB_FOLDERS
from regend.store import cells, changelog
from regend.store.change import Change, unpack
from regend.store.changelog import OwnLog
from regend.sync.replica import Folder, Source
from tests.mesh.conftest import Device, Start, pair

NEWER: Final = "mood"  # a kind of change that only the next version has
MORE: Final = {"weather": "fine"}  # a field that it adds to what is said of jobs


def writes_more(monkeypatch: pytest.MonkeyPatch, device: bytes) -> None:
    """Let one device write of its jobs as the next version does."""
    add = OwnLog.add

    def add_more(self: OwnLog, kind: str, *fields: Any) -> None:
        more = (MORE,) if kind in ("job", "history") and self.device == device else ()
        add(self, kind, *fields, *more)

    monkeypatch.setattr(OwnLog, "add", add_more)


class NextVersion:
    """What the next version makes of its changes."""

    def __init__(self) -> None:
        self.moods: list[Any] = []
        self.weather: list[Any] = []

    def folders(self) -> Mapping[str, Folder]:
        return {**JOB_FOLDERS, NEWER: self._mood, "job": self._job, "history": self._history}

    def _mood(self, connection: sqlite3.Connection, _source: Source, change: Change) -> None:
        self.moods += change.fields
        rows = [(f"mood {change.fields[0]}", "seen", b"\xc3", 1, change.clock, bytes(16))]
        cells.merge(connection, rows)

    def _job(self, connection: sqlite3.Connection, source: Source, change: Change) -> None:
        self.weather += change.fields[3:]
        JOB_FOLDERS["job"](connection, source, change._replace(fields=change.fields[:3]))

    def _history(self, connection: sqlite3.Connection, source: Source, change: Change) -> None:
        self.weather += change.fields[3:]
        JOB_FOLDERS["history"](connection, source, change._replace(fields=change.fields[:3]))


Changes = list[tuple[bytes, int, bytes]]  # whose, number and body


async def kept(device: Device) -> Changes:
    """Return the changes that a device keeps for a newer program."""
    return await device.daemon._store.query(
        lambda c: c.execute(
            "SELECT l.device, u.seq, u.body FROM unfolded u JOIN logs l ON l.number = u.log "
            "ORDER BY l.device, u.seq"
        ).fetchall()
    )


async def written(device: Device, *kinds: str) -> Changes:
    """Return the changes of these kinds that a device wrote."""
    rows = await device.daemon._store.query(
        lambda c: c.execute(
            "SELECT l.device, c.seq, c.body FROM changes c JOIN logs l ON l.number = c.log "
            "ORDER BY c.seq"
        ).fetchall()
    )
    return [row for row in rows if unpack(row[2]).kind in kinds]


async def keeps(device: Device, changes: Changes) -> None:
    """Return once a device keeps exactly these changes."""
    async with asyncio.timeout(30):
        while await kept(device) != changes:
            await asyncio.sleep(0.05)


async def logs(device: Device) -> list[Any]:
    """Return how far each log is on a device."""
    return await device.daemon._store.query(
        lambda c: c.execute("SELECT device, incarnation, seq, head FROM logs").fetchall()
    )


def tell(connection: sqlite3.Connection) -> None:
    """Write changes of a kind that only the next version has."""
    with changelog.writing(connection, SystemClock().wall_ms()) as log:
        assert log is not None
        for number in range(3):
            log.add(NEWER, number, {"of": ["रसोई", number]})


async def test_what_the_next_version_says_goes_through_older_ones_and_counts_after_the_upgrade(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, old, later = await start("New"), await start("Old"), await start("Later")
    await pair(new, old, later)
    await later.stop()
    own = bytes.fromhex((await new.call("GET", "/mesh"))["device"])
    writes_more(monkeypatch, own)
    job = (await new.client.jobs.create("count", {"steps": 2}))["id"]
    await new.until(lambda s: s["state"] == "completed", f"/jobs/{job}")
    await new.daemon._store.write(tell)
    told, events = await written(new, NEWER, "job", "history"), await new.told(job)
    assert len(told) > 4
    await keeps(old, told)
    assert (await old.call("GET", "/jobs"))["jobs"] == [], "nothing is made of half a job"
    await new.stop()

    later = await start("Later")
    await later.linked("Old")
    await keeps(later, told)
    own_job = (await later.client.jobs.create("count", {"steps": 1}))["id"]
    await old.until(lambda s: s["state"] == "completed", f"/jobs/{own_job}")
    await later.stop()

    version = NextVersion()
    monkeypatch.setattr(jobs, "JOB_FOLDERS", version.folders())
    later = await start("Later")
    await later.until(lambda s: s["state"] == "completed", f"/jobs/{job}")
    assert await later.told(job) == events
    assert await kept(later) == [] and await kept(old) == told
    assert [mood for mood in version.moods if isinstance(mood, int)] == [0, 1, 2]
    assert version.weather and all(one == MORE for one in version.weather)
    before = await logs(later)
    await later.stop()
    later = await start("Later")
    assert len(version.moods) == 6, "each was folded once"
    assert await logs(later) == before, "what others did is not told again as its own"


async def test_what_a_revoked_device_of_the_next_version_wrote_past_its_cut_is_kept_no_more(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, new, three = await start("Laptop"), await start("New"), await start("Tablet")
    await pair(one, new, three)
    writes_more(monkeypatch, bytes.fromhex((await new.call("GET", "/mesh"))["device"]))
    await one.level()
    await one.away()
    late = (await new.client.jobs.create("count", {"steps": 1}))["id"]
    await new.until(lambda s: s["state"] == "completed", f"/jobs/{late}")
    await new.daemon._store.write(tell)
    await keeps(three, await written(new, NEWER, "job", "history"))
    await one.call("DELETE", "/devices/New")
    await one.back()
    await keeps(three, [])
    assert (await three.call("GET", "/jobs"))["jobs"] == []
    assert await one.level() and await three.level()
