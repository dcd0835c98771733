"""Saved states of a model that are damaged, or that another device made to do harm."""

from __future__ import annotations

import asyncio
import sqlite3
import struct
from collections.abc import Callable
from typing import Any

import pytest

from regend.client import Client, StreamEvent
from regend.daemon import Daemon
from regend.models.generation import GenerationCheckpoint
from tests.models.test_jobs import LONG, client, daemon, until_over

__all__ = ["client", "daemon"]

SHORT = {**LONG, "max_tokens": 56}


def position_of_the_first_cell(state: bytes) -> int:
    """Return where it is told: behind magic, version, tokens, numbers of streams and of cells."""
    (words,) = struct.unpack_from("<I", state, 8)
    return 12 + 4 * int(words) + 8


def with_first_cell_at(state: bytes, position: int) -> bytes:
    place = position_of_the_first_cell(state)
    assert struct.unpack_from("<6i", state, place) == (0, 1, 0, 1, 1, 0)
    return state[:place] + struct.pack("<i", position) + state[place + 4 :]


def at_no_place(state: bytes) -> bytes:
    """Let a cell stand where no host ever clears it: whoever gets the slot then would fail."""
    return with_first_cell_at(state, 0x7FFFFFFF)


def cut_short(state: bytes) -> bytes:
    return state[:-1]


@pytest.mark.parametrize("spoil", [at_no_place, pytest.param(cut_short, marks=pytest.mark.long)])
async def test_a_state_that_a_host_comes_to_grief_by_is_given_to_none_again(
    daemon: Daemon, client: Client, spoil: Callable[[bytes], bytes]
) -> None:
    """The job goes on by reading its text anew, and the next job finds a host that is sound."""
    store = daemon._store
    job = await paused_behind_a_state(client)

    def evil(connection: sqlite3.Connection) -> None:
        (slot,) = connection.execute("SELECT slot FROM checkpoints").fetchone()
        digest = store.blobs.put(spoil(store.blobs.get(slot)))
        connection.execute("UPDATE checkpoints SET slot = ?", (digest,))

    await store.write(evil)
    await client.jobs.resume(job)
    ended = await until_over(client, await client.jobs.get(job))
    assert ended["attempt"] == 2, "the second is that which was resumed"
    modes = await resumptions(client, job)
    assert modes[-1] == "reevaluated" and modes.count("exact") <= 1
    following = await client.jobs.create("chat", {"prompt": "Say hello.", "max_tokens": 4})
    assert (await until_over(client, following))["attempt"] == 1


async def test_a_state_that_changed_on_the_disk_is_not_taken_for_exact(
    daemon: Daemon, client: Client
) -> None:
    job = await paused_behind_a_state(client)
    slot = await daemon._store.query(
        lambda c: c.execute("SELECT slot FROM checkpoints").fetchone()[0]
    )
    file = daemon._store.blobs.path(slot)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    await client.jobs.resume(job)
    await until_over(client, await client.jobs.get(job))
    assert await resumptions(client, job) == ["reevaluated"]


PLACE: dict[str, Any] = {
    **{"request_hash": "r", "prompt_tokens": 3, "tokens": [1, 2], "counted_tokens": 2},
    **{"text": "ab", "released_characters": 2, "released_tokens": 2, "digest": "d"},
    **{"build": "b", "machine": "m", "segment_tokens": 32, "slot_file": ""},
}


@pytest.mark.parametrize(
    "changed",
    [
        *({"segment_tokens": one} for one in (0, -1, 1.5, "32")),
        *({"tokens": one} for one in (None, 7, [-1], ["1"], [True])),
        *({"text": 5}, {"released_characters": 3}, {"counted_tokens": -1}, {"of_a_newer": 1}),
    ],
    ids=str,
)
def test_a_place_that_is_none_is_told_from_one(changed: dict[str, Any]) -> None:
    assert GenerationCheckpoint.from_dict(PLACE).to_dict() == PLACE
    with pytest.raises((ValueError, TypeError)):
        GenerationCheckpoint.from_dict(PLACE | changed)


async def paused_behind_a_state(client: Client) -> str:
    """Return a job that was paused while the model wrote, with a saved state."""
    job = (await client.jobs.create("chat", SHORT))["id"]
    async with client.stream(jobs=[job], after_seq=0) as stream:
        async for event in stream:
            assert isinstance(event, StreamEvent)
            if event.type == "job:checkpoint:v1":
                break
    await client.jobs.pause(job)
    async with asyncio.timeout(20):
        while (await client.jobs.get(job))["state"] != "paused":
            await asyncio.sleep(0.02)
    return job


async def resumptions(client: Client, job: str) -> list[str]:
    shown = (await client.jobs.events(job, limit=1000))["events"]
    return [event.data["resume"] for event in shown if event.type == "job:resumed:v1"]
