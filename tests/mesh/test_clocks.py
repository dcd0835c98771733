"""One device's clock is a year wrong: what the others do later still holds, everywhere."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from regend.clock import SystemClock
from regend.mesh.statehash import state_hash
from regend.store.hlc import AHEAD_MS, milliseconds
from tests.mesh.conftest import Device, Pace, Start, join, pair

YEAR_MS = 365 * 24 * 3600 * 1000


class WrongClock(SystemClock):
    """A clock that shows another year."""

    def __init__(self, shift_ms: int) -> None:
        self._shift_ms = shift_ms

    def wall_ms(self) -> int:
        return super().wall_ms() + self._shift_ms


def look(device: Device) -> contextlib.closing[sqlite3.Connection]:
    """Open a device's database to read in it."""
    return contextlib.closing(sqlite3.connect(f"file:{device.home.database}?mode=ro", uri=True))


def state_of(device: Device) -> bytes:
    with look(device) as connection:
        return state_hash(connection)


def latest_stamp_ms(device: Device, own: bytes) -> int:
    """Return what the device's own log gave as its last stamp, in milliseconds."""
    with look(device) as connection:
        found = connection.execute("SELECT clock FROM logs WHERE device = ?", (own,)).fetchone()
        return milliseconds(found[0])


async def reaches(device: Device, job: str, state: str) -> None:
    await device.until(lambda shown: shown["state"] == state, f"/jobs/{job}")


async def names(device: Device, *expected: str) -> None:
    await device.until(lambda s: {d["name"] for d in s["devices"]} == set(expected), "/devices")


@pytest.mark.parametrize("shift_ms", [YEAR_MS, -YEAR_MS], ids=["ahead", "behind"])
async def test_what_is_done_later_wins_whatever_a_clock_says(
    start: Start, pace: Pace, shift_ms: int
) -> None:
    laptop, tablet = await start("Laptop"), await start("Tablet")
    wrong = await start("Phone", clock=WrongClock(shift_ms))
    devices = (laptop, wrong, tablet)
    await pair(laptop, tablet)
    # The tags by which devices find each other are of the day: this one finds nobody by itself, and
    # goes by the address that was given as it joined. Its changes travel on from there.
    await join(laptop, wrong)
    await laptop.linked("Phone", "Tablet")
    job = await pace.job(laptop, steps=80)
    path = f"/jobs/{job}"
    for device in devices:
        await reaches(device, job, "running")

    # The wrong one first, then an honest one, and then the wrong one again.
    for device, command, state in (
        (wrong, "pause", "paused"),
        (tablet, "resume", "running"),
        (wrong, "pause", "paused"),
    ):
        await device.call("POST", f"{path}/{command}", {})
        for one in devices:
            await reaches(one, job, state)
    pace.hurry()
    await tablet.call("POST", f"{path}/resume", {})
    for device in devices:
        await reaches(device, job, "completed")

    for device, name in ((wrong, "Desk"), (tablet, "Study"), (wrong, "Attic"), (tablet, "Kitchen")):
        await device.call("POST", f"/devices/{laptop.name}/rename", {"name": name})
        laptop.name = name
        for one in devices:
            await names(one, name, "Phone", "Tablet")

    text = {"title": "Rent", "text": "The rent is due on the 5th.", "source": "note:Rent"}
    await wrong.call("POST", "/library", text)
    for device in devices:
        await device.until(lambda shown: len(shown["documents"]) == 1, "/library")
    (document,) = (await tablet.call("GET", "/library"))["documents"]
    await tablet.call("DELETE", f"/library/{document['id']}")
    for device in devices:
        await device.until(lambda shown: not shown["documents"], "/library")

    for device in devices:
        assert await device.level()
    assert len({state_of(device) for device in devices}) == 1
    assert await laptop.told(job) == await wrong.told(job) == await tablet.told(job)
    for device in (laptop, tablet):
        own = bytes.fromhex((await device.call("GET", "/mesh"))["device"])
        ahead_ms = latest_stamp_ms(device, own) - SystemClock().wall_ms()
        assert ahead_ms <= AHEAD_MS, "no clock followed the wrong one"
