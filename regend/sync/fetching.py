"""Payloads that rows refer to and that lie on other devices: got piece by piece, over any link.

A payload is asked of the device that wrote of it, and where that is not linked, of any other. What
came of it before a link broke stays in `incoming/`, and the next link goes on behind it.

Rules
1. A payload counts only once it is whole and its SHA-256 is its name.
2. One link at a time gets a payload; several payloads come over several links.
3. What a device says it has not (any more) is asked of the next; where none has it, later again.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from regend.limits import BLOB_CHUNK_BYTES, LACKING_RETRY_S, PIECES_AHEAD
from regend.store import Store
from regend.store.files import private
from regend.store.writer import disk_refusal
from regend.sync.session import PieceCame

if TYPE_CHECKING:
    from regend.sync.exchange import Exchange

log = logging.getLogger("regend.sync")


class Wanted(NamedTuple):
    """A payload that is to come: its digest in hex, and the device that wrote of it."""

    digest: str
    device: bytes


class _Coming:
    """A payload that a link is getting."""

    def __init__(self, exchange: Exchange, file: Path) -> None:
        self.exchange = exchange
        self.file = file
        self.have = file.stat().st_size if file.exists() else 0
        self.asked = self.have
        self.size: int | None = None


class Fetcher:
    """Gets the payloads that this store wants.

    Args:
        folder: where beginnings of payloads lie; on the file system of the blobs.
        wanted: reads what is to come, the most urgent first.
        came: records that a payload is here.
        gone: records that the device which wrote of a payload has it no more.
        elsewhere: returns a file with a payload that is no blob; None where there is none.
        done: called after each that came.
    """

    def __init__(
        self,
        store: Store,
        folder: Path,
        *,
        wanted: Callable[[sqlite3.Connection], list[Wanted]],
        came: Callable[[sqlite3.Connection, str], None],
        gone: Callable[[sqlite3.Connection, str], None],
        elsewhere: Callable[[str], Awaitable[Path | None]],
        done: Callable[[str], None] = lambda _digest: None,
    ) -> None:
        self._store = store
        self._folder = folder
        self._wanted = wanted
        self._came = came
        self._gone = gone
        self._elsewhere = elsewhere
        self._done = done
        self._coming: dict[str, _Coming] = {}
        self._lacking: dict[Exchange, dict[str, float]] = {}  # and when it may be asked again

    def links(self) -> Mapping[bytes, Exchange]:
        """Return the exchanges that can be asked, by device."""
        return {exchange.device: exchange for exchange in self._lacking}

    def wake(self) -> None:
        """Let every link look whether it can get something."""
        for exchange in list(self._lacking):
            exchange.wake()

    def left(self, exchange: Exchange) -> None:
        """Take note that a link ended; what it was getting is for the others."""
        self._lacking.pop(exchange, None)
        for digest, coming in list(self._coming.items()):
            if coming.exchange is exchange:
                del self._coming[digest]
        self.wake()

    async def ask(self, exchange: Exchange) -> None:
        """Ask a link for the next pieces of what is wanted."""
        lacking = self._lacking.setdefault(exchange, {})
        if not any(one.exchange is exchange for one in self._coming.values()):
            for wanted in await self._store.query(self._wanted):
                if self._store.blobs.path(wanted.digest).exists():
                    await self._record(self._came, wanted.digest)
                elif self._suits(exchange, wanted, lacking):
                    file = self._folder / f"{wanted.digest}.part"
                    self._coming[wanted.digest] = _Coming(exchange, file)
                    break
        for digest, coming in list(self._coming.items()):
            if coming.exchange is exchange:
                await self._ask_ahead(exchange, digest, coming)

    def _suits(self, exchange: Exchange, wanted: Wanted, lacking: dict[str, float]) -> bool:
        """Tell whether a payload is to be asked of this link."""
        if wanted.digest in self._coming or lacking.get(wanted.digest, 0.0) > time.monotonic():
            return False
        if wanted.device == exchange.device:
            return True
        writer = self.links().get(wanted.device)
        return writer is None or wanted.digest in self._lacking[writer]

    async def _ask_ahead(self, exchange: Exchange, digest: str, coming: _Coming) -> None:
        ahead = coming.have + PIECES_AHEAD * BLOB_CHUNK_BYTES
        end = ahead if coming.size is None else min(ahead, coming.size)
        if coming.size is None and coming.asked > coming.have:
            return  # how long it is, the first piece tells
        while coming.asked < end or (coming.size is None and coming.asked == coming.have):
            await exchange.send_get(bytes.fromhex(digest), coming.asked)
            coming.asked += BLOB_CHUNK_BYTES
            if coming.size is None:
                return

    async def took(self, exchange: Exchange, piece: PieceCame) -> None:
        """Take a piece that a link brought."""
        digest = piece.digest.hex()
        coming = self._coming.get(digest)
        if coming is None or coming.exchange is not exchange or piece.offset != coming.have:
            return
        if piece.size == 0 and piece.content == b"" and digest != _EMPTY:
            await self._on_lacking(exchange, digest)
            return
        coming.size = piece.size
        await asyncio.to_thread(_append, coming.file, piece.offset, piece.content)
        coming.have += len(piece.content)
        if coming.have >= piece.size:
            await self._finish(exchange, digest, coming)
        elif not piece.content:
            await self._on_lacking(exchange, digest)

    async def _finish(self, exchange: Exchange, digest: str, coming: _Coming) -> None:
        """Put a whole payload in its place, if it is what it is called."""
        found = await asyncio.to_thread(_digest_of, coming.file)
        if found != digest:
            log.warning("a payload from %s is damaged", exchange.device.hex()[:8])
            await asyncio.to_thread(coming.file.unlink, missing_ok=True)
            self._ask_others(exchange, digest)
            return
        await asyncio.to_thread(self._store.blobs.adopt, coming.file)
        self._coming.pop(digest, None)
        await self._record(self._came, digest)
        self._done(digest)

    async def _on_lacking(self, exchange: Exchange, digest: str) -> None:
        """Take note that a device has not what it was asked for."""
        writers = {one.digest: one.device for one in await self._store.query(self._wanted)}
        if writers.get(digest) == exchange.device:
            await self._record(self._gone, digest)
            (self._folder / f"{digest}.part").unlink(missing_ok=True)
            if all(one.digest != digest for one in await self._store.query(self._wanted)):
                # Nobody waits for it. If it is written of again, it is there again.
                self._coming.pop(digest, None)
                return
        self._ask_others(exchange, digest)

    def _ask_others(self, exchange: Exchange, digest: str) -> None:
        """Get a payload from other links than this one, as long as it lasts."""
        self._coming.pop(digest, None)
        again_s = time.monotonic() + LACKING_RETRY_S
        self._lacking.setdefault(exchange, {})[digest] = again_s
        self.wake()

    async def _record(self, operation: Callable[[sqlite3.Connection, str], None], d: str) -> None:
        await self._store.write(lambda connection: operation(connection, d))

    async def read_piece(self, digest: bytes, offset: int) -> tuple[int, bytes]:
        """Return the size of a payload that lies here and a piece of it; 0 where it does not."""
        path: Path | None = self._store.blobs.path(digest.hex())
        if path is None or not path.exists():
            path = await self._elsewhere(digest.hex())
        return (0, b"") if path is None else await asyncio.to_thread(_read, path, offset)


_EMPTY: Final = hashlib.sha256(b"").hexdigest()


def _read(path: Path, offset: int) -> tuple[int, bytes]:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(offset)
            return size, file.read(BLOB_CHUNK_BYTES)
    except OSError:
        return 0, b""


def _append(file: Path, offset: int, content: bytes) -> None:
    """Add a piece to the beginning of a payload.

    Raises:
        Busy: the disk refuses.
    """
    try:
        file.parent.mkdir(mode=0o700, exist_ok=True)
        with open(file, "r+b" if offset else "wb", opener=private) as part:
            part.seek(offset)
            part.write(content)
    except OSError as error:
        raise disk_refusal(error) from error


def _digest_of(file: Path) -> str:
    try:
        with file.open("rb") as whole:
            return hashlib.file_digest(whole, "sha256").hexdigest()
    except OSError:
        return ""
