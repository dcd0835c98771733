"""What stands beside the REST interface: the greeting, the browser's scripts, OpenAI's errors."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
from playwright.async_api import async_playwright

from regend.cli.index import targets
from regend.config import LimitsConfig
from regend.web import files
from tests.api.conftest import API, Running, Start
from tests.client.tools import CHROMIUM_FLAGS, chromium


async def test_the_root_says_what_this_is_and_where_the_interface_describes_itself(
    running: Running,
) -> None:
    answer = await running.call("GET", "/", token=None)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    text = answer.body.decode()
    (described,) = re.findall(r"/\S+\.json", text)
    for path in (described, "/client.js", "/health"):
        assert path in text
        assert (await running.call("GET", path, token=None)).status == 200
    named = re.findall(r"^  regend (\w+)", text, re.MULTILINE)
    assert {"status", "library", "research"} <= set(named) <= set(targets())


async def test_every_script_that_the_client_is_made_of_is_served_with_its_type_and_policy(
    running: Running,
) -> None:
    for path, content in files().items():
        answer = await running.call("GET", path, token=None)
        assert (answer.status, answer.body) == (200, content)
        assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        for wanted in re.findall(r'from "\.(/[^"]+)"', content.decode()):
            assert path.rpartition("/")[0] + wanted in files()
        etag = answer.headers["ETag"]
        same = await running.call("GET", path, token=None, headers={"If-None-Match": etag})
        assert (same.status, same.body, same.headers["ETag"]) == (304, b"", etag)
        other = await running.call("GET", path, token=None, headers={"If-None-Match": '"old"'})
        assert other.status == 200


async def test_a_page_of_the_daemon_runs_and_follows_a_job_under_its_own_policy(
    running: Running, tmp_path: Path
) -> None:
    executable = chromium()
    code = (await running.call("POST", f"{API}/auth/code")).json["code"]
    async with async_playwright() as playwright, asyncio.timeout(60):
        context = await playwright.chromium.launch_persistent_context(
            tmp_path / "profile", executable_path=executable, headless=True, args=CHROMIUM_FLAGS
        )
        page = context.pages[0]
        await page.goto(running.url)
        found = await page.evaluate(
            """async (code) => {
                const session = await fetch("/api/v1/auth/session", {
                    method: "POST", headers: { "Content-Type": "application/json" },
                    body: JSON.stringify({ code }),
                });
                const { csrf } = await session.json();
                const { connect } = await import("/client.js");
                const stream = connect({ csrf, afterSeq: 0 });
                const seen = [];
                const done = new Promise((resolve, reject) => {
                    stream.on("event", ({ type }) => seen.push(type));
                    stream.on("job:completed:v1", resolve);
                    stream.on("error", reject);
                });
                const job = await stream.start("count", { steps: 1 });
                await done;
                return { id: job.id, seen };
            }""",
            code,
        )
        await context.close()
    events = (await running.call("GET", f"{API}/jobs/{found['id']}/events")).json["events"]
    assert found["seen"] == [event["type"] for event in events]


def openai_error(body: bytes) -> dict[str, str]:
    error: dict[str, str] = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"]
    return error


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/v1/nope", 404, "not_found_error"),
        ("DELETE", "/v1/models", 405, "invalid_request_error"),
        ("POST", "/v1/chat/completions", 400, "invalid_request_error"),
    ],
)
async def test_errors_under_v1_have_the_shape_that_openais_clients_read(
    running: Running, method: str, path: str, status: int, kind: str
) -> None:
    answer = await running.call(method, path)
    assert (answer.status, openai_error(answer.body)["type"]) == (status, kind)
    assert answer.headers["X-Request-Id"]
    assert ("Allow" in answer.headers) == (status == 405)


async def test_refusals_under_v1_have_it_too(start: Start) -> None:
    running = await start(limits=LimitsConfig(research_per_minute=0, requests_per_minute=3))
    nobody = await running.call("GET", "/v1/models", token=None)
    assert (nobody.status, openai_error(nobody.body)["type"]) == (401, "authentication_error")
    assert nobody.headers["WWW-Authenticate"] == "Bearer"
    reader = await running.user("reader", "jobs:read")
    refused = await running.call("GET", "/v1/models", token=reader)
    assert (refused.status, openai_error(refused.body)["type"]) == (403, "permission_error")
    foreign = await running.call("GET", "/v1/models", headers={"Host": "evil.example"})
    assert (foreign.status, openai_error(foreign.body)["code"]) == (403, "foreign_host")
    while (paced := await running.call("GET", "/v1/nope")).status == 404:
        pass
    assert (paced.status, openai_error(paced.body)["type"]) == (429, "rate_limit_error")
    assert int(paced.headers["Retry-After"]) >= 1
