"""Payloads that rows refer to and that lie on other devices: got piece by piece, over any link.

A payload is asked of the device that wrote of it, and where that is not linked, of any other. What
came of it before a link broke stays in `incoming/`, and the next link goes on behind it.

Rules
1. A payload counts only once it is whole and its SHA-256 is its name. If it is not, it is asked for
   anew: of the same device where that sent only the end of it, else of another.
2. One link at a time gets a payload; several payloads come over several links.
3. What a device says it has not (any more) is asked of the next, and of itself later again, at
   longer and longer intervals: it may get it meanwhile.
4. What cannot be had keeps nothing back that can, however much of it there is.
5. Payloads leave room on the disk for rows, and for what is done here: with little of it they wait,
   and what happened goes on to be told.
6. What nobody wants any more is asked for no further, and its beginning goes.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from regend.clock import Clock
from regend.limits import (
    BLOB_CHUNK_BYTES,
    MIB,
    PAYLOAD_AGAIN_FIRST_S,
    PAYLOAD_AGAIN_LAST_S,
    PAYLOADS_LEAVE_BYTES,
    PAYLOADS_LEAVE_MOST_BYTES,
    PIECES_AHEAD,
)
from regend.store import Store
from regend.store.bell import Bell
from regend.store.files import private
from regend.store.writer import disk_refusal
from regend.sync.sending import Sender
from regend.sync.session import PieceCame

log = logging.getLogger("regend.sync")


class Wanted(NamedTuple):
    """A payload that is to come: its digest in hex, and the device that wrote of it."""

    digest: str
    device: bytes


class Supplier(Protocol):
    """A link to a device that can be asked for payloads."""

    @property
    def device(self) -> bytes:
        """Whose link it is."""

    def wake(self) -> None:
        """Look now whether there is something to ask for."""

    async def send_get(self, digest: bytes, offset: int) -> None:
        """Ask for a piece of a payload."""


class _Coming:
    """A payload that a link is getting."""

    def __init__(self, supplier: Supplier, file: Path) -> None:
        self.supplier = supplier
        self.file = file
        self.have = file.stat().st_size if file.exists() else 0
        self.goes_on = self.have > 0  # from what came over another link, or before a restart
        self.asked = self.have
        self.size: int | None = None


class _Lack(NamedTuple):
    """That a device has not a payload: when it is asked again, and how long that waited."""

    again_s: float
    wait_s: float


class Fetcher:
    """Gets the payloads that this store wants.

    Args:
        folder: where beginnings of payloads lie; on the file system of the blobs.
        wanted: reads what is to come, the most urgent first; it is read as far as is needed.
        writers: returns the devices that wrote of a payload; none where it is not wanted.
        came: records that a payload is here; returns the digests of those that are needless now.
        gone: records that the device which wrote of a payload has it no more.
        elsewhere: returns a file with a payload that is no blob; None where there is none.
        done: called after each that came.

    Attributes:
        folder: where beginnings of payloads lie.
        sender: what other devices are getting from here.
        news: rings where something came, or more is known of who has what.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        folder: Path,
        *,
        wanted: Callable[[sqlite3.Connection], Iterable[Wanted]],
        writers: Callable[[sqlite3.Connection, str], set[bytes]],
        came: Callable[[sqlite3.Connection, str], list[str]],
        gone: Callable[[sqlite3.Connection, str], None],
        elsewhere: Callable[[str], Awaitable[Path | None]],
        done: Callable[[str], None] = lambda _digest: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self.folder = folder
        self._wanted = wanted
        self._writers = writers
        self._came = came
        self._gone = gone
        self.sender = Sender(store.blobs, elsewhere)
        self._done = done
        self._coming: dict[str, _Coming] = {}
        self._begun: set[str] = set()  # over links that ended
        self._lacking: dict[Supplier, dict[str, _Lack]] = {}
        self.news = Bell()
        self._is_full = False

    def links(self) -> Mapping[bytes, Supplier]:
        """Return the links that can be asked, by device."""
        return {supplier.device: supplier for supplier in self._lacking}

    def wake(self) -> None:
        """Let every link look whether it can get something."""
        for supplier in list(self._lacking):
            supplier.wake()

    def may_come(self, digest: str) -> bool:
        """Tell whether a device that is linked has a payload, as far as is known."""
        return digest in self._coming or any(digest not in one for one in self._lacking.values())

    def joined(self, supplier: Supplier) -> None:
        """Take note of a link that can be asked from now on."""
        self._lacking.setdefault(supplier, {})
        self.news.ring()

    def left(self, supplier: Supplier) -> None:
        """Take note that a link ended; what it was getting is for the others."""
        self._lacking.pop(supplier, None)
        for digest, coming in list(self._coming.items()):
            if coming.supplier is supplier:
                del self._coming[digest]
                self._begun.add(digest)
        self.wake()
        self.news.ring()

    async def ask(self, supplier: Supplier) -> None:
        """Ask a link for the next pieces of what is wanted."""
        if await asyncio.to_thread(self.has_no_room):
            return  # who calls looks again before long
        await self._drop_needless()
        if not any(one.supplier is supplier for one in self._coming.values()):
            await self._begin_next(supplier)
        for digest, coming in list(self._coming.items()):
            if coming.supplier is supplier:
                await self._ask_ahead(supplier, digest, coming)

    async def sweep(self) -> None:
        """Look which payloads have begun to come, and drop those that nobody wants (rule 6)."""
        beginnings = await asyncio.to_thread(lambda: list(self.folder.glob("*.part")))
        self._begun |= {file.stem for file in beginnings}
        await self._drop_needless()

    async def _drop_needless(self) -> None:
        begun = self._begun - self._coming.keys()
        needless = begun and await self._store.query(
            lambda c: {one for one in begun if not self._writers(c, one)}
        )
        for digest in needless:
            await asyncio.to_thread(self._part(digest).unlink, missing_ok=True)
            self._begun.discard(digest)

    def _part(self, digest: str) -> Path:
        return self.folder / f"{digest}.part"

    async def _is_wanted(self, digest: str) -> bool:
        return bool(await self._store.query(lambda c: self._writers(c, digest)))

    def has_no_room(self) -> bool:
        """Tell whether the disk has room for rows alone; say so in the log when that changes.

        Called in any thread.
        """
        try:
            disk = shutil.disk_usage(self.folder.parent)
        except OSError:
            return False  # writing will tell
        left_bytes = max(PAYLOADS_LEAVE_BYTES, min(disk.total // 20, PAYLOADS_LEAVE_MOST_BYTES))
        is_full = disk.free < left_bytes
        if is_full and not self._is_full:
            log.warning(
                "payloads of other devices wait: the disk is nearly full. They come by themselves "
                "once there are %d MB free.",
                left_bytes // MIB,
            )
        self._is_full = is_full
        return is_full

    async def _begin_next(self, supplier: Supplier) -> None:
        """Choose what this link is to get next."""
        while (digest := await self._next_of(supplier)) is not None:
            if self._store.blobs.path(digest).exists():
                await self._on_here(digest)
            elif digest not in self._coming:  # no other link has begun it meanwhile
                self._begun.discard(digest)
                self._coming[digest] = _Coming(supplier, self._part(digest))
                return

    async def _next_of(self, supplier: Supplier) -> str | None:
        """Return the most urgent payload that is to be asked of a link."""
        now_s, links = self._clock.monotonic_s(), self.links()

        def read(connection: sqlite3.Connection) -> str | None:
            suiting = (
                one.digest
                for one in self._wanted(connection)
                if self._suits(supplier, one, links, now_s)
            )
            return next(suiting, None)

        return await self._store.query(read)

    def _suits(
        self, supplier: Supplier, wanted: Wanted, links: Mapping[bytes, Supplier], now_s: float
    ) -> bool:
        """Tell whether a payload is to be asked of this link now. Called in any thread."""
        lack = self._lacking.get(supplier, {}).get(wanted.digest)
        if wanted.digest in self._coming or (lack is not None and lack.again_s > now_s):
            return False
        if wanted.device == supplier.device:
            return True
        writer = links.get(wanted.device)
        return writer is None or wanted.digest in self._lacking.get(writer, {})

    async def _ask_ahead(self, supplier: Supplier, digest: str, coming: _Coming) -> None:
        ahead = coming.have + PIECES_AHEAD * BLOB_CHUNK_BYTES
        end = ahead if coming.size is None else min(ahead, coming.size)
        if coming.size is None and coming.asked > coming.have:
            return  # how long it is, the first piece tells
        while coming.asked < end or (coming.size is None and coming.asked == coming.have):
            await supplier.send_get(bytes.fromhex(digest), coming.asked)
            coming.asked += BLOB_CHUNK_BYTES
            if coming.size is None:
                return

    async def took(self, supplier: Supplier, piece: PieceCame) -> None:
        """Take a piece that a link brought."""
        digest = piece.digest.hex()
        coming = self._coming.get(digest)
        if coming is None or coming.supplier is not supplier or piece.offset != coming.have:
            return
        if piece.size == 0 and piece.content == b"" and digest != _EMPTY:
            await self._on_lacking(supplier, digest)
            return
        if not await self._is_wanted(digest):
            self._coming.pop(digest, None)
            await asyncio.to_thread(coming.file.unlink, missing_ok=True)
            self.news.ring()
            return
        coming.size = piece.size
        await asyncio.to_thread(_append, coming.file, piece.offset, piece.content)
        coming.have += len(piece.content)
        if coming.have >= piece.size:
            await self._finish(supplier, digest, coming)
        elif not piece.content:
            await self._on_lacking(supplier, digest)

    async def _finish(self, supplier: Supplier, digest: str, coming: _Coming) -> None:
        """Put a whole payload in its place, if it is what it is called."""
        found = await asyncio.to_thread(_digest_of, coming.file)
        if found != digest:
            await asyncio.to_thread(coming.file.unlink, missing_ok=True)
            if coming.goes_on:
                log.info("the beginning of a payload was damaged; it is asked for anew")
                self._coming.pop(digest, None)
                supplier.wake()
                return
            log.warning("a payload from %s is damaged", supplier.device.hex()[:8])
            self._ask_others(supplier, digest)
            return
        await asyncio.to_thread(self._store.blobs.adopt, coming.file)
        self._coming.pop(digest, None)
        await self._on_here(digest)

    async def _on_here(self, digest: str) -> None:
        needless = await self._store.write(lambda c: self._came(c, digest))
        self.news.ring()
        await asyncio.to_thread(self._store.blobs.discard, needless)
        self._done(digest)

    async def _on_lacking(self, supplier: Supplier, digest: str) -> None:
        """Take note that a device has not what it was asked for."""
        if supplier.device in await self._store.query(lambda c: self._writers(c, digest)):
            await self._store.write(lambda c: self._gone(c, digest))
            self._part(digest).unlink(missing_ok=True)
            if not await self._is_wanted(digest):
                # Nobody waits for it. If it is written of again, it is there again.
                self._coming.pop(digest, None)
                self.news.ring()
                return
        self._ask_others(supplier, digest)

    def _ask_others(self, supplier: Supplier, digest: str) -> None:
        """Get a payload from other links than this one, and from this one later."""
        self._coming.pop(digest, None)
        lacking = self._lacking.setdefault(supplier, {})
        known = lacking.get(digest)
        wait_s = PAYLOAD_AGAIN_FIRST_S if known is None else 2 * known.wait_s
        wait_s = min(wait_s, PAYLOAD_AGAIN_LAST_S)
        lacking[digest] = _Lack(self._clock.monotonic_s() + wait_s, wait_s)
        self.wake()
        self.news.ring()


_EMPTY: Final = hashlib.sha256(b"").hexdigest()


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
