"""Payloads as files: whole or not there, private, and never removed under a new reference."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from regend.errors import Busy, Failed
from regend.limits import INLINE_PAYLOAD_BYTES
from regend.store.blobs import Blobs

OLD_S = time.time() + 7200


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def slot(tmp_path: Path, name: str, content: bytes = b"state" * 1000) -> Path:
    file = tmp_path / name
    file.write_bytes(content)
    return file


@pytest.mark.parametrize(
    "text",
    ["{}", '"नमस्ते"', '"' + "x" * INLINE_PAYLOAD_BYTES + '"', '"' + "अ" * 20_000 + '"', '"\\u0000"'],
)
def test_what_was_packed_is_unpacked_the_same(blobs: Blobs, text: str) -> None:
    column = blobs.pack(text)
    assert blobs.unpack(column) == text
    assert (column == text) == (len(text.encode()) <= INLINE_PAYLOAD_BYTES)


def test_a_payload_that_was_changed_or_removed_on_disk_is_said_to_be(blobs: Blobs) -> None:
    digest = blobs.put(b"content")
    blobs.path(digest).write_bytes(b"c0ntent")
    with pytest.raises(Failed) as refused:
        blobs.get(digest)
    assert refused.value.code == "blob_damaged"
    blobs.path(digest).unlink()
    with pytest.raises(Failed) as refused:
        blobs.get(digest)
    assert refused.value.code == "blob_missing"


def test_a_payload_that_was_cut_short_is_made_whole_by_storing_it_again(blobs: Blobs) -> None:
    digest = blobs.put(b"content")
    blobs.path(digest).write_bytes(b"con")
    assert blobs.get(blobs.put(b"content")) == b"content"
    assert blobs.put(b"content") == digest


def test_what_a_killed_write_left_is_swept_and_never_in_the_way(tmp_path: Path) -> None:
    def die(point: str) -> None:
        if point == "blob:before-rename":
            os.chmod(tmp_path, 0o700)
            raise SystemExit

    folder = tmp_path / "blobs"
    left = folder / f"tmp-{os.getpid()}-1"
    folder.mkdir()
    left.write_bytes(b"half")
    blobs = Blobs(folder)
    digest = blobs.put(b"content")
    assert blobs.sweep({digest}, OLD_S) == 1
    assert not left.exists()
    assert blobs.get(digest) == b"content"
    with pytest.raises(SystemExit):
        Blobs(folder, die).put(b"never named")
    assert len([f for f in folder.rglob("*") if f.is_file()]) == 1


def test_sweeping_keeps_what_is_referred_to_and_what_is_young(blobs: Blobs) -> None:
    kept, gone = blobs.put(b"kept"), blobs.put(b"gone")
    assert blobs.sweep({kept}) == 0
    assert blobs.sweep({kept}, OLD_S) == 1
    assert blobs.get(kept) == b"kept"
    assert not blobs.path(gone).exists()


def test_storing_known_content_again_makes_it_young(blobs: Blobs) -> None:
    digest = blobs.put(b"content")
    os.utime(blobs.path(digest), (1, 1))
    blobs.put(b"content")
    assert blobs.sweep(set()) == 0


def test_an_adopted_file_goes_with_the_last_who_adopted_it(blobs: Blobs, tmp_path: Path) -> None:
    first = blobs.adopt(slot(tmp_path, "a"))
    second = blobs.adopt(slot(tmp_path, "b"))
    assert first == second
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()
    blobs.discard([first])
    assert blobs.path(second).exists()
    blobs.discard([second])
    assert not blobs.path(second).exists()
    blobs.discard([second])


def test_a_file_that_is_not_there_is_not_mistaken_for_a_full_disk(
    blobs: Blobs, tmp_path: Path
) -> None:
    for missing in (tmp_path / "nothing", tmp_path, tmp_path / ".."):
        with pytest.raises(Failed):
            blobs.adopt(missing)


def test_content_that_many_bring_at_once_while_others_remove_it_is_there_in_the_end(
    blobs: Blobs, tmp_path: Path
) -> None:
    stop = threading.Event()

    def sweep() -> None:
        while not stop.is_set():
            blobs.sweep(set(), 0.0)

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    failures: list[str] = []

    def bring(thread: int) -> None:
        for number in range(60):
            digest = blobs.put(b"shared content %d" % number)
            if not blobs.path(digest).exists():
                failures.append(f"{thread}: {number}")

    threads = [threading.Thread(target=bring, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    sweeper.join()
    assert not failures


def test_who_failed_to_adopt_a_file_does_not_keep_it(tmp_path: Path) -> None:
    failing = True

    def fail(point: str) -> None:
        if failing and point == "blob:before-rename":
            raise OSError(errno.EIO, "Input/output error")

    blobs = Blobs(tmp_path / "blobs", fail)
    file = slot(tmp_path, "a")
    for _ in range(3):
        with pytest.raises(Busy):
            blobs.adopt(file)
    failing = False
    digest = blobs.adopt(file)
    blobs.discard([digest])
    assert not blobs.path(digest).exists()


def test_who_adopted_what_was_swept_does_not_count_any_more(blobs: Blobs, tmp_path: Path) -> None:
    blobs.adopt(slot(tmp_path, "a"))
    assert blobs.sweep(set(), OLD_S) == 1
    digest = blobs.adopt(slot(tmp_path, "b"))
    blobs.discard([digest])
    assert not blobs.path(digest).exists()
