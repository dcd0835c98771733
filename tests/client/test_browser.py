"""`regend/web/client.js` in a real browser, against the hostile server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright

from tests.client.chaos import Seen, assert_each_once, assert_exact, rage
from tests.client.hostile_server import CSRF, TOKEN, HostileServer
from tests.client.tools import CHROMIUM_FLAGS, chromium

FOLLOW = """async (options) => {
    const { connect } = await import("/client.js");
    const seen = window.seen = { events: [], gaps: [], restarts: [], byType: 0, errors: [] };
    const stream = window.stream = connect({
        csrf: "the-csrf", backoff: { firstS: 0.005, lastS: 0.05, floodS: 0.02 },
        ...options, storage: options.keep ? localStorage : null,
    });
    stream.on("event", (event) => { seen.events.push(event); });
    stream.on("model:chunk:v1", () => { seen.byType += 1; });
    stream.on("event", () => { if (options.throws) throw new Error("a listener is at fault"); });
    stream.on("snapshot", ({ gap }) => { if (gap) seen.gaps.push([gap.from, gap.to]); });
    stream.on("restarted", ({ epoch }) => {
        seen.events.length = seen.gaps.length = 0; seen.restarts.push(epoch);
    });
    stream.on("error", (error) => { seen.errors.push(error.code); });
}"""


@pytest.fixture
async def server() -> AsyncIterator[HostileServer]:
    server = HostileServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def page(server: HostileServer, tmp_path: Path) -> AsyncIterator[Page]:
    executable = chromium()
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            tmp_path / "profile", executable_path=executable, headless=True, args=CHROMIUM_FLAGS
        )
        page = context.pages[0]
        await page.goto(server.url)
        yield page
        await context.close()


async def seen_by(page: Page) -> Seen:
    found: dict[str, Any] = await page.evaluate("() => window.seen")
    return Seen(found["events"], [(a, b) for a, b in found["gaps"]], found["restarts"])


async def until_seen(page: Page, server: HostileServer) -> Seen:
    async with asyncio.timeout(60):
        while True:
            last: int = await page.evaluate(
                "() => Math.max(seen.events.at(-1)?.seq ?? 0, ...seen.gaps.map(([, to]) => to))"
            )
            if last == server.history.seq:
                return await seen_by(page)
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("seed", range(4))
async def test_after_a_storm_the_browser_has_exactly_the_log_and_each_command_ran_once(
    server: HostileServer, page: Page, seed: int
) -> None:
    await page.evaluate(FOLLOW, {"afterSeq": 0})
    await page.evaluate(
        """() => { window.jobs = Promise.all(Array.from({ length: 15 }, (_, number) =>
            window.stream.start("chat", { prompt: String(number) }))); }"""
    )
    await rage(server, seed, epochs=seed % 2 == 0)
    seen = await until_seen(page, server)
    jobs: list[Any] = await page.evaluate("() => window.jobs")
    assert_exact(server, seen)
    assert_each_once(server, 15)
    assert len({job["id"] for job in jobs}) == 15


async def test_a_position_in_storage_survives_a_reload(server: HostileServer, page: Page) -> None:
    await server.append(20)
    await page.evaluate(FOLLOW, {"afterSeq": 0, "keep": True})
    await until_seen(page, server)
    await page.reload()
    await server.append(3)
    await page.evaluate(FOLLOW, {"afterSeq": 0, "keep": True})
    seen = await until_seen(page, server)
    assert seen.events == server.history.events[-3:]


async def test_a_listener_that_throws_disturbs_no_other(server: HostileServer, page: Page) -> None:
    await server.append(9)
    await page.evaluate(FOLLOW, {"afterSeq": 0, "throws": True})
    seen = await until_seen(page, server)
    assert_exact(server, seen)
    chunks = [one for one in server.history.events if one["type"] == "model:chunk:v1"]
    assert await page.evaluate("() => seen.byType") == len(chunks)


async def test_a_stream_closed_by_a_listener_hands_out_nothing_more_and_knows_where_it_was(
    server: HostileServer, page: Page
) -> None:
    await server.append(5)
    await page.evaluate(FOLLOW, {"afterSeq": 0})
    await page.evaluate("() => stream.close()")
    await page.evaluate(
        """async () => {
            const { connect } = await import("/client.js");
            window.first = connect({ token: "the-token", afterSeq: 0 });
            window.handed = [];
            await new Promise((resolve) => first.on("event", (event) => {
                handed.push(event.seq);
                if (handed.length === 2) { first.close(); resolve(); }
            }));
        }"""
    )
    await asyncio.sleep(0.05)
    expected = [one["seq"] for one in server.history.events[:2]]
    assert await page.evaluate("() => handed") == expected
    assert await page.evaluate("() => first.position.afterSeq") == expected[1]


async def test_coming_online_ends_a_long_wait_at_once(server: HostileServer, page: Page) -> None:
    await page.evaluate(FOLLOW, {"afterSeq": 0, "backoff": {"firstS": 600, "lastS": 600}})
    while not server.hellos:
        await asyncio.sleep(0.01)
    await server.restart()
    await page.wait_for_function("() => stream.state === 'waiting'")
    await page.evaluate("() => { window.dispatchEvent(new Event('online')); }")
    await server.append(1)
    assert_exact(server, await until_seen(page, server))


async def test_going_offline_does_not_part_the_page_from_the_daemon_of_this_machine(
    server: HostileServer, page: Page
) -> None:
    await page.evaluate(FOLLOW, {"afterSeq": 0})
    await page.evaluate("() => { window.dispatchEvent(new Event('offline')); }")
    await server.append(2)
    assert_exact(server, await until_seen(page, server))
    assert len(server.hellos) == 1


@pytest.mark.parametrize("options", [{"csrf": "wrong"}, {"token": "wrong"}])
async def test_who_is_not_known_gets_an_error_and_no_stream(
    server: HostileServer, page: Page, options: dict[str, str]
) -> None:
    await page.evaluate(FOLLOW, options)
    await page.wait_for_function("() => seen.errors.length > 0")
    assert await page.evaluate("() => seen.errors") == ["not_authenticated"]
    assert not server.hellos


async def test_a_bearer_token_serves_as_well_as_the_session(
    server: HostileServer, page: Page
) -> None:
    await server.append(2)
    await page.evaluate(FOLLOW, {"afterSeq": 0, "token": TOKEN, "csrf": None})
    assert_exact(server, await until_seen(page, server))
    assert CSRF not in str(server.hellos)


async def test_a_refused_command_rejects_with_its_code(server: HostileServer, page: Page) -> None:
    await page.evaluate(FOLLOW, {})
    refused: dict[str, Any] = await page.evaluate(
        """() => stream.cancel("missing").catch(
            ({ name, code, status }) => ({ name, code, status }))"""
    )
    assert refused == {"name": "StreamError", "code": "job_not_found", "status": 404}


async def test_closing_rejects_what_waits(server: HostileServer, page: Page) -> None:
    await page.evaluate(FOLLOW, {})
    await page.wait_for_function("() => stream.state === 'live'")
    await server.stop()
    code = await page.evaluate(
        """() => { const waiting = stream.cancel("j1"); stream.close();
            return waiting.catch((error) => error.code); }"""
    )
    assert code == "stream_closed"


async def test_a_job_that_waits_for_a_choice_is_resumed_with_it(
    server: HostileServer, page: Page
) -> None:
    await page.evaluate(FOLLOW, {})
    await page.evaluate("async () => { await stream.resume('j1', 'restart'); }")
    await page.evaluate("async () => { await stream.resume('j2'); }")
    given = [(one["job_id"], one.get("choice")) for one in server.commands.values()]
    assert given == [("j1", "restart"), ("j2", None)]
