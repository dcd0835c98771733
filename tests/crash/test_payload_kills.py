"""SIGKILL in mid-payload: it goes on from what has come, and only what is whole ever counts."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from regend.limits import BLOB_CHUNK_BYTES
from tests.crash.house import House
from tests.crash.household import Household

PIECES = 8
TAKER_POINTS = ("piece:before", "piece:half", "piece:after")
ENDS = ("blob:before-rename", "blob:after-rename", "commit:before", "commit:after")


@pytest.fixture
def household(tmp_path: Path) -> Iterator[Household]:
    made = Household(tmp_path)
    made.pair().until_level()
    yield made
    made.close()


class Payload:
    """A large input of a job of the first home, which is to come to the second."""

    def __init__(self, household: Household, seed: int) -> None:
        self.household = household
        self.giver, self.taker = household.houses
        self._text = random.Random(seed).randbytes(PIECES * BLOB_CHUNK_BYTES // 2 - 999).hex()
        self._before = set(blobs(self.giver))

    def send(self) -> None:
        given = {"steps": 0, "ballast": self._text}
        self.giver.call("POST", "/jobs", {"type": "count", "input": given})
        (self.digest,) = set(blobs(self.giver)) - self._before

    @property
    def beginning(self) -> Path:
        return self.taker.home.incoming_dir / f"{self.digest}.part"

    @property
    def have(self) -> int:
        return self.beginning.stat().st_size if self.beginning.exists() else 0

    def asked_for(self) -> list[int]:
        """Return the places of the pieces that came to the taker so far."""
        pieces = self.taker.home.data_dir / "pieces"
        told = [line.split() for line in pieces.read_text(encoding="utf-8").splitlines()]
        return [int(place) for digest, place in told if digest == self.digest]

    def until_whole(self) -> None:
        """Return once the payload is where it belongs; nothing else ever is there."""
        self.household.until(self._is_whole)
        self.household.until(lambda: not self.taker.rows("SELECT 1 FROM wanted_blobs"))
        assert not list(self.taker.home.incoming_dir.glob("*.part"))

    def _is_whole(self) -> bool:
        found = blobs(self.taker)
        for digest, file in found.items():
            with file.open("rb") as content:
                assert hashlib.file_digest(content, "sha256").hexdigest() == digest
        return self.digest in found


def blobs(house: House) -> dict[str, Path]:
    """Return the payloads that count in a home, by digest."""
    files = house.home.blobs_dir.rglob("*")
    return {one.name: one for one in files if one.is_file() and len(one.name) == 64}


def live_through(household: Household, victim: House, point: str, hit: int, seed: int) -> Payload:
    """Let one die while a payload is on its way, and see that it comes, from where it was."""
    payload = Payload(household, seed)
    victim.arm(point, hit)
    payload.send()
    household.until(lambda: not victim.alive)
    have = payload.have
    came = len(payload.asked_for()) if have else 0
    assert victim.revive()
    payload.until_whole()
    if have and not point.startswith(("blob", "commit")):
        later = payload.asked_for()[came:]
        assert min(later) >= have - BLOB_CHUNK_BYTES, "what had come is not asked for again"
    return payload


def test_a_payload_goes_on_from_what_had_come(household: Household) -> None:
    one, two = household.houses
    live_through(household, two, "piece:half", 4, seed=1)
    live_through(household, one, "piece:sent", 5, seed=2)
    live_through(household, two, "blob:before-rename", 1, seed=3)
    household.until_level()


def test_a_beginning_that_was_damaged_is_never_taken_and_comes_anew(household: Household) -> None:
    _, two = household.houses
    payload = Payload(household, seed=4)
    two.arm("piece:after", 4)
    payload.send()
    household.until(lambda: not two.alive)
    have = payload.have
    assert have >= BLOB_CHUNK_BYTES
    payload.beginning.write_bytes(bytes(have))  # as some disks leave it when the power fails
    assert two.revive()
    payload.until_whole()
    household.until_level()


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_payload_comes_whoever_dies_at_whichever_piece(household: Household) -> None:
    one, two = household.houses
    seeds = itertools.count(10)
    for hit in range(1, PIECES):
        for point in TAKER_POINTS:
            live_through(household, two, point, hit, next(seeds))
        live_through(household, one, "piece:sent", hit, next(seeds))
    for point, hit in itertools.product(ENDS, (1, 2)):
        if point.startswith("commit") or hit == 1:
            live_through(household, two, point, hit, next(seeds))
    household.until_level()
