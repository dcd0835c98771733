"""Research that may go online, through a whole daemon: it fetches only when asked, and says so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from regend.config import LibraryConfig
from tests.api.conftest import API, Running, Start

FACT = "The harbour of Vizhinjam was opened by the blue committee in the year 2024."
PAGE = f"""<!doctype html><title>Harbours</title><article><h1>Harbours</h1>
<p>{FACT}</p><p>It rains there in June, and the ferries wait for the tide.</p></article>"""


@pytest.fixture
async def site() -> AsyncIterator[tuple[str, list[str]]]:
    """A page on loopback, and what was asked for."""
    asked: list[str] = []

    async def page(request: web.Request) -> web.Response:
        asked.append(request.path)
        empty = request.match_info["name"] == "empty"
        return web.Response(text="<p></p>" if empty else PAGE, content_type="text/html")

    application = web.Application()
    application.router.add_get("/{name}", page)
    async with TestServer(application, host="127.0.0.1") as server:
        yield str(server.make_url("/harbours")), asked


async def researched(running: Running, question: str, **more: Any) -> dict[str, Any]:
    body = {"type": "research", "input": {"question": question, "depth": "quick", **more}}
    job = (await running.call("POST", f"{API}/jobs", as_json=body)).json["id"]
    done = await running.until(job, "completed", "failed")
    assert done["state"] == "completed", done["error"]
    result: dict[str, Any] = done["result"]
    return result


async def test_a_page_is_fetched_when_asked_and_cited_by_its_address(
    start: Start, site: tuple[str, list[str]]
) -> None:
    url, asked = site
    running = await start(library=LibraryConfig(allow_private_addresses=True))
    question = f"Who opened the harbour of Vizhinjam? {url}"
    offline = await researched(running, question)
    assert asked == [] and offline["citations"] == []
    online = await researched(running, question, online=True)
    assert asked == ["/harbours"]
    assert "blue committee" in online["answer"]
    (cited, *_) = online["citations"]
    assert cited["source"] == url and cited["quote"] in PAGE


async def test_a_page_inside_the_network_is_not_fetched_and_listed_as_unreadable(
    start: Start, site: tuple[str, list[str]]
) -> None:
    url, asked = site
    running = await start()
    result = await researched(running, f"Who opened the harbour? {url}", online=True)
    assert asked == [] and result["citations"] == []
    assert url in [one["source"] for one in result["unreadable"]]


async def test_a_page_without_text_is_listed_once(
    start: Start, site: tuple[str, list[str]]
) -> None:
    url, _ = site
    empty = url.replace("harbours", "empty")
    running = await start(library=LibraryConfig(allow_private_addresses=True))
    result = await researched(running, f"Who opened the harbour? {empty}", online=True)
    (told,) = result["unreadable"]
    assert told["source"] == empty and told["reason"]
