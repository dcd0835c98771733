"""Payloads that other devices are getting from here, piece by piece.

A model's saved state is thrown away as soon as there is a newer one, and over a slow link none
would ever arrive whole. So what a device has begun to get stays open here, and an open file can be
read to its end though its name is gone: until that device has all of it, asks for another, or asks
for nothing for long. One file to a device is all that is kept so.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import BinaryIO

from regend.limits import BLOB_CHUNK_BYTES, SENDING_KEPT_S
from regend.store.blobs import Blobs


class Sender:
    """Reads what is sent.

    Args:
        elsewhere: returns a file with a payload that is no blob; None where there is none.
    """

    def __init__(self, blobs: Blobs, elsewhere: Callable[[str], Awaitable[Path | None]]) -> None:
        self._blobs = blobs
        self._elsewhere = elsewhere
        self._open: dict[bytes, tuple[str, BinaryIO]] = {}
        self._lock = threading.Lock()
        self._ends: dict[bytes, asyncio.TimerHandle] = {}
        self._closed = False

    async def read_piece(self, device: bytes, digest: str, offset: int) -> tuple[int, bytes]:
        """Return the size of a payload that lies here and a piece of it; 0 where it does not."""
        if (end := self._ends.pop(device, None)) is not None:
            end.cancel()
        path = self._blobs.path(digest)
        try:
            piece = await asyncio.to_thread(self._read, device, digest, path, offset)
            if piece is None and (other := await self._elsewhere(digest)) is not None:
                piece = await asyncio.to_thread(self._read, device, digest, other, offset)
        finally:  # also where the link broke: the thread reads on, and leaves the file open
            if not self._closed:
                loop = asyncio.get_running_loop()
                self._ends[device] = loop.call_later(SENDING_KEPT_S, self._close, device)
        return (0, b"") if piece is None else piece

    def close(self) -> None:
        """Keep nothing open any more."""
        with self._lock:
            self._closed = True
            for device in list(self._open):
                self._let_go(device)
        for end in self._ends.values():
            end.cancel()

    def _read(
        self, device: bytes, digest: str, path: Path, offset: int
    ) -> tuple[int, bytes] | None:
        """Return a piece of a file, which stays open until its end was read."""
        with self._lock:
            known = self._open.get(device)
            try:
                if known is None or known[0] != digest:
                    file = path.open("rb")  # closed by `_let_go`
                    self._let_go(device)
                    self._open[device] = known = (digest, file)
                size, content = _read(known[1], offset)
            except OSError:
                return None
            if self._closed or offset + len(content) >= size:
                self._let_go(device)
            return size, content

    def _close(self, device: bytes) -> None:
        if (end := self._ends.pop(device, None)) is not None:
            end.cancel()
        with self._lock:
            self._let_go(device)

    def _let_go(self, device: bytes) -> None:
        known = self._open.pop(device, None)
        if known is not None:
            known[1].close()


def _read(file: BinaryIO, offset: int) -> tuple[int, bytes]:
    file.seek(offset)
    return os.fstat(file.fileno()).st_size, file.read(BLOB_CHUNK_BYTES)
