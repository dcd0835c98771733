"""A download that broke off is gone on from, and what comes of it is held against the digest."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from regend.errors import Refused, Retryable
from regend.home import Home
from regend.limits import PART_KEEP_S
from regend.models import catalogue, pull
from regend.models.catalogue import Entry
from regend.models.pull import PullProgress
from tests.models.gguf_files import write_gguf


class Source:
    """Serves one file, and breaks off where it is told to.

    Attributes:
        url: of the file, once it is served.
        breaks_at: byte after which the connection is cut; None for never.
        ranges: whether it can serve a part; many cannot.
        asked: the `Range` of each request.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.url = ""
        self.breaks_at: int | None = None
        self.ranges = True
        self.asked: list[str | None] = []
        self.hold = asyncio.Event()
        self.hold.set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        wanted = request.headers.get("Range")
        self.asked.append(wanted)
        start = int(wanted.partition("=")[2].rstrip("-")) if wanted and self.ranges else 0
        if start and start >= len(self.content):
            return web.Response(status=416)
        response = web.StreamResponse(status=206 if start else 200)
        response.content_length = len(self.content) - start
        if start:
            last = len(self.content) - 1
            response.headers["Content-Range"] = f"bytes {start}-{last}/{len(self.content)}"
        await response.prepare(request)
        end = len(self.content) if self.breaks_at is None else self.breaks_at
        await response.write(self.content[start:end])
        await self.hold.wait()
        if self.breaks_at is not None:
            assert request.transport is not None
            request.transport.abort()
        return response


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home.at(tmp_path / "home")
    home.make()
    return home


@pytest.fixture
async def source(tmp_path: Path) -> AsyncIterator[Source]:
    file = write_gguf(tmp_path / "far.gguf")
    file.write_bytes(file.read_bytes() + os.urandom(3_000_000))
    source = Source(file.read_bytes())
    application = web.Application()
    application.router.add_get("/{name}", source.answer)
    async with TestServer(application) as server:
        source.url = str(server.make_url("/far.gguf"))
        yield source


def entry_of(source: Source, home: Home, digest: str = "") -> Entry:
    digest = digest or hashlib.sha256(source.content).hexdigest()
    return catalogue.resolve(f"{source.url}#sha256={digest}", home)


def left_in(home: Home) -> list[str]:
    return sorted(path.name for path in home.models_dir.iterdir())


def parts(home: Home) -> list[Path]:
    return [path for path in home.models_dir.iterdir() if path.suffix not in (".gguf", ".json")]


async def broken_off(source: Source, home: Home, at: int = 2_000_000) -> None:
    """Let a pull break off."""
    source.breaks_at = at
    with pytest.raises(Retryable):
        await pull.pull(entry_of(source, home), home)
    source.breaks_at = None
    assert not list(home.models_dir.glob("*.gguf"))


async def test_a_pull_that_broke_off_goes_on_where_it_was(source: Source, home: Home) -> None:
    await broken_off(source, home)
    seen: list[PullProgress] = []
    path = await pull.pull(entry_of(source, home), home, seen.append)
    assert path.read_bytes() == source.content
    assert source.asked[0] is None
    start = int((source.asked[1] or "").removeprefix("bytes=").rstrip("-"))
    assert 0 < start <= 2_000_000
    assert seen[0].stage == "download" and seen[0].done_bytes > start
    assert seen[0].total_bytes == len(source.content)
    assert left_in(home) == ["far.gguf", "far.json"]


async def under_way(source: Source, home: Home) -> asyncio.Task[Path]:
    """Begin a pull, and return once something of it has come."""
    source.hold.clear()
    source.breaks_at = 2_000_000
    running = asyncio.create_task(pull.pull(entry_of(source, home), home))
    async with asyncio.timeout(20):
        while not any(part.is_file() and part.stat().st_size for part in parts(home)):
            await asyncio.sleep(0.01)
    return running


async def test_a_pull_that_was_cancelled_goes_on_where_it_was(source: Source, home: Home) -> None:
    running = await under_way(source, home)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    source.hold.set()
    source.breaks_at = None
    path = await pull.pull(entry_of(source, home), home)
    assert path.read_bytes() == source.content
    assert (source.asked[-1] or "").startswith("bytes=")
    assert left_in(home) == ["far.gguf", "far.json"]


async def test_a_pull_begun_while_another_is_being_cancelled_is_not_cancelled_with_it(
    source: Source, home: Home
) -> None:
    running = await under_way(source, home)
    running.cancel()
    await asyncio.sleep(0)  # now it is being cancelled
    assert not running.done()
    source.hold.set()
    source.breaks_at = None
    path = await pull.pull(entry_of(source, home), home)
    assert path.read_bytes() == source.content
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_server_that_serves_no_parts_is_asked_for_the_whole(
    source: Source, home: Home
) -> None:
    await broken_off(source, home)
    source.ranges = False
    path = await pull.pull(entry_of(source, home), home)
    assert path.read_bytes() == source.content


@pytest.mark.parametrize("length", [1000, 2_999_999, 9_000_000])
async def test_what_turns_out_to_be_of_another_file_is_fetched_from_its_beginning(
    source: Source, home: Home, length: int
) -> None:
    await broken_off(source, home)
    (part,) = parts(home)
    part.write_bytes(os.urandom(length))
    path = await pull.pull(entry_of(source, home), home)
    assert path.read_bytes() == source.content
    assert source.asked[-1] is None
    assert left_in(home) == ["far.gguf", "far.json"]


async def test_a_whole_that_has_another_digest_leaves_nothing(source: Source, home: Home) -> None:
    wrong = entry_of(source, home, "0" * 64)
    source.breaks_at = 2_000_000
    with pytest.raises(Retryable):
        await pull.pull(wrong, home)
    source.breaks_at = None
    with pytest.raises(Refused) as caught:
        await pull.pull(wrong, home)
    assert caught.value.code == "model_tampered"
    assert left_in(home) == []


async def test_parts_that_nobody_will_go_on_from_are_removed(source: Source, home: Home) -> None:
    await broken_off(source, home)
    (part,) = parts(home)
    other = part.with_name(part.name.replace("far", "near"))
    other.write_bytes(b"of a model that was given up")
    long_ago = time.time() - PART_KEEP_S - 1
    os.utime(other, (long_ago, long_ago))
    source.content += b"a newer version"
    await pull.pull(entry_of(source, home), home)
    assert source.asked[-1] is None, "of another digest nothing can be gone on from"
    assert left_in(home) == ["far.gguf", "far.json"]
