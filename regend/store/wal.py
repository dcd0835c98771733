"""Looks at SQLite's write-ahead log before SQLite does, because SQLite forgets in silence.

After a crash SQLite takes every frame up to the first whose checksum does not fit, and drops the
rest without a word. Where that frame was only being written, this is right. Where a bit of it
changed on disk later, acknowledged transactions behind it would vanish. The two differ in what
follows: a transaction is begun only after the one before it was synced, so frames that belong
together *behind* the bad one and hold more than one transaction prove that the bad one was whole
once.

What cannot be told: a log whose end was cut off, and damage to its very last transaction, which
looks like one that was being written. The format is SQLite's own: https://sqlite.org/walformat.html

Checksums take a tenth of a second for a log of four megabytes, so they are added up only where
SQLite took less than the frames' headers promise.
"""

from __future__ import annotations

import itertools
import os
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal, NamedTuple

_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24
_MAGIC_LITTLE = 0x377F0682
_MAGIC_BIG = 0x377F0683
_MASK = 0xFFFFFFFF
_INDEX_FRAMES_AT = 16  # mxFrame, in the byte order of the machine

Sums = tuple[int, int]
Order = Literal["<", ">"]

_ORDERS: Final[tuple[Order, Order]] = ("<", ">")


@dataclass(frozen=True, slots=True)
class Break:
    """Where a log stops being readable although it goes on.

    Attributes:
        frame: number of the bad frame, from 1; 0 is the log's header.
        offset: bytes of the log before it, all of them good.
        transactions: complete ones behind it that SQLite would drop.
        proven: whether what is dropped was certainly acknowledged.
    """

    frame: int
    offset: int
    transactions: int
    proven: bool


class _Frame(NamedTuple):
    number: int
    commits: bool
    salts: bytes
    sums: Sums
    summed: bytes


def frames_taken(index: Path) -> int | None:
    """Return how many frames SQLite took from a log, as its index (`NAME.db-shm`) says.

    To be called while a connection reads. None where there is no such file.
    """
    try:
        with index.open("rb") as file:
            header = file.read(_INDEX_FRAMES_AT + 4)
    except OSError:
        return None
    if len(header) < _INDEX_FRAMES_AT + 4:
        return None
    return int.from_bytes(header[_INDEX_FRAMES_AT:], sys.byteorder)


def find_break(path: Path, taken: int | None = None) -> Break | None:
    """Return the place where SQLite would stop reading a log that goes on; None where it is whole.

    Args:
        path: the log, `NAME.db-wal`. One that is missing or empty is whole.
        taken: frames that SQLite took, if that is known: it spares the sums of a whole log.

    Raises:
        OSError: it cannot be read.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    with file:
        if taken and _last_commit(file) <= taken:
            return None
        file.seek(0)
        return _find_break(file)


def _last_commit(file: BinaryIO) -> int:
    """Return the number of the last frame of this log that ends a transaction, by headers only."""
    header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES:
        return 0
    frame_bytes = _FRAME_HEADER_BYTES + int.from_bytes(header[8:12], "big")
    size = os.fstat(file.fileno()).st_size
    last = 0
    for number in range(1, (size - _HEADER_BYTES) // frame_bytes + 1):
        file.seek(_HEADER_BYTES + (number - 1) * frame_bytes)
        head = file.read(_FRAME_HEADER_BYTES)
        if head[8:16] == header[16:24] and head[4:8] != b"\0\0\0\0":
            last = number
    return last


def _find_break(file: BinaryIO) -> Break | None:
    header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES:
        return None
    magic, _version, page_bytes, _sequence = struct.unpack(">4I", header[:16])
    order: Order = "<" if magic == _MAGIC_LITTLE else ">"
    sums: Sums = _add((0, 0), header[:24], order)
    if magic not in (_MAGIC_LITTLE, _MAGIC_BIG) or sums != struct.unpack(">2I", header[24:32]):
        return _broken_header(file)
    frames = _frames(file, page_bytes)
    salts = header[16:24]
    for frame in frames:
        if frame.salts == salts:
            sums = _add(sums, frame.summed, order)
        if frame.salts != salts or sums != frame.sums:
            return _after(frame, frames, salts, order, page_bytes)
    return None


def _broken_header(file: BinaryIO) -> Break | None:
    """Judge a log whose header is bad by frames that fit together behind it.

    A header lies in one sector, so an interrupted write leaves the old or the new one, never a
    mixture. Nothing that it says is believed: neither the order of bytes nor the size of pages.
    """
    for order, shift in itertools.product(_ORDERS, range(9, 17)):
        file.seek(_HEADER_BYTES)
        frames = _frames(file, 1 << shift)
        first = next(frames, None)
        if first is None:
            continue
        found = _after(first, frames, first.salts, order, 1 << shift)
        if found is not None and found.proven:
            return Break(0, 0, found.transactions, proven=True)
    return None


def _after(
    bad: _Frame,
    frames: Iterator[_Frame],
    salts: bytes,
    order: Order,
    page_bytes: int,
) -> Break | None:
    """Judge what follows a bad frame: each frame there is held against the one before it.

    Frames with other salts are left over from before the log was begun anew.
    """
    committed = bad.commits and bad.salts == salts
    transactions, proven = int(committed), False
    previous = bad.sums
    for frame in frames:
        if frame.salts != salts:
            committed = False
        elif _add(previous, frame.summed, order) == frame.sums:
            proven = proven or committed
            transactions += frame.commits
            committed = frame.commits
        else:
            committed = False
        previous = frame.sums
    if not transactions:
        return None
    offset = _HEADER_BYTES + (bad.number - 1) * (_FRAME_HEADER_BYTES + page_bytes)
    return Break(bad.number, offset, transactions, proven)


def _frames(file: BinaryIO, page_bytes: int) -> Iterator[_Frame]:
    number = 0
    while True:
        number += 1
        head = file.read(_FRAME_HEADER_BYTES)
        page = file.read(page_bytes)
        if len(head) < _FRAME_HEADER_BYTES or len(page) < page_bytes:
            return
        size_after_commit = int.from_bytes(head[4:8], "big")
        first, second = struct.unpack(">2I", head[16:24])
        yield _Frame(number, size_after_commit > 0, head[8:16], (first, second), head[:8] + page)


def _add(sums: Sums, content: bytes, order: Order) -> Sums:
    """Return SQLite's running checksum after `content`, whose length is a multiple of eight."""
    first, second = sums
    for one, other in struct.iter_unpack(f"{order}2I", content):
        first = (first + one + second) & _MASK
        second = (second + other + first) & _MASK
    return first, second
