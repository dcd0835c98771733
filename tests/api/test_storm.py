"""A thousand clients that drop together and come back, and the browser's client on the real daemon.

The thousand live in a process of their own, so that the daemon's memory is its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Page, async_playwright

import regend.web
from regend.config import ServerConfig
from regend.jobs import history
from tests.api.conftest import API, Running, Start
from tests.api.log import Log
from tests.client.tools import CHROMIUM_FLAGS, chromium

CLIENTS = 1000
SCRIPTS = Path(regend.web.__file__).parent


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


async def test_a_thousand_clients_that_drop_together_come_back_without_gap_or_duplicate(
    running: Running,
) -> None:
    if not Path("/proc/self/statm").exists():
        pytest.fail("this test reads memory from /proc")
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit[1], limit[1]))
    log, hub = Log(running.store), running.daemon._hub
    job = await log.job()
    before_mb = resident_mb()
    crowd = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.api.crowd", running.url, running.token, str(CLIENTS)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert crowd.stdin is not None and crowd.stdout is not None
    try:
        async with asyncio.timeout(100):
            assert await crowd.stdout.readline() == b"ready\n"
            for _ in range(3):
                await log.append(job, 20)
                crowd.stdin.write(b"drop\n")
                assert await crowd.stdout.readline() == b"dropped\n"
                await log.append(job, 60)
                assert await crowd.stdout.readline() == b"ready\n"
            await log.append(job, 20)
            end = await running.store.query(history.newest_seq)
            crowd.stdin.write(f"until {end}\n".encode())
            told = json.loads(await crowd.stdout.readline())
        assert told == {"clients": CLIENTS, "complete": CLIENTS, "wrong": 0}
        assert len(hub) == CLIENTS
        assert resident_mb() - before_mb < 150
    finally:
        crowd.stdin.close()
        await crowd.wait()
    async with asyncio.timeout(30):
        while len(hub) or running.daemon._streams._open:
            await asyncio.sleep(0.05)


@pytest.fixture
async def page(start: Start, tmp_path: Path) -> AsyncIterator[tuple[Running, Page]]:
    """A page of an allowed origin that has `client.js`, and a daemon beside it."""
    executable = chromium()
    app = web.Application()

    async def index(request: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>test</title>", content_type="text/html")

    app.add_routes([web.get("/", index), web.static("/", SCRIPTS)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
    running = await start(server=ServerConfig(port=0, allowed_origins=(origin,)))
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            tmp_path / "profile", executable_path=executable, headless=True, args=CHROMIUM_FLAGS
        )
        page = context.pages[0]
        await page.goto(origin)
        yield running, page
        await context.close()
    await runner.cleanup()


FOLLOW = """async ({ url, tickets }) => {
    const { connect } = await import("/client.js");
    const original = window.fetch;
    // Another origin may not fetch from the daemon: tickets come from the test instead.
    window.fetch = async (address, options) => String(address).endsWith("/auth/ticket")
        ? new Response(JSON.stringify({ ticket: tickets.shift() }), {
            headers: { "Content-Type": "application/json" } })
        : original(address, options);
    const seen = window.seen = { events: [], gaps: [], restarts: 0 };
    const stream = window.stream = connect({
        url, csrf: "x", afterSeq: 0, storage: null, backoff: { firstS: 0.02, lastS: 0.1 } });
    stream.on("event", (event) => { seen.events.push(event.seq); });
    stream.on("snapshot", ({ gap }) => { if (gap) seen.gaps.push([gap.from, gap.to]); });
    stream.on("restarted", () => { seen.events.length = 0; seen.restarts += 1; });
}"""


async def tickets(running: Running, count: int) -> list[str]:
    return [(await running.call("POST", f"{API}/auth/ticket")).json["ticket"] for _ in range(count)]


async def until_seen(page: Page, seq: int) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while await page.evaluate("() => window.seen.events.at(-1) ?? 0") != seq:
            await asyncio.sleep(0.03)
    seen: dict[str, Any] = await page.evaluate("() => window.seen")
    return seen


async def test_the_browsers_client_misses_nothing_and_is_told_of_gaps(
    page: tuple[Running, Page],
) -> None:
    running, browser = page
    log = Log(running.store)
    old = await log.job()
    await log.append(old, 30)
    await log.end(old)
    job = await log.job()
    floor = await log.compact()
    given = await tickets(running, 6)
    await browser.evaluate(FOLLOW, {"url": running.url, "tickets": given})
    for _ in range(3):
        await log.append(job, 40)
        end = await running.store.query(history.newest_seq)
        await until_seen(browser, end)
        for session in list(running.daemon._streams._open):
            session._transport.abort()
    seen = await until_seen(browser, end)
    assert seen["gaps"] == [[1, floor]]
    assert seen["events"] == list(range(floor + 1, end + 1))
    started = await browser.evaluate("() => stream.start('count', { steps: 0 }, { title: 'टैब' })")
    assert (await running.until(started["id"], "completed"))["title"] == "टैब"
