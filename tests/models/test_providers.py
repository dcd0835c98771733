"""Connected servers: found, checked, listed, and never in the way."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from regend.clock import SystemClock
from regend.config import ModelsConfig, ProviderConfig
from regend.errors import NotFound
from regend.models.generation import GenerationRequest
from regend.models.lease import Lease
from regend.models.providers import CAPABILITIES, Providers
from tests.models.attempts import Attempt

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def lists(*ids: Any) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response({"data": [{"id": one} for one in ids]})

    return answer


def connected(url: str, **more: str) -> Providers:
    config = ModelsConfig(discover=False, providers=(ProviderConfig("mine", url, **more),))
    return Providers(config, SystemClock())


async def test_a_server_on_a_usual_address_is_found_with_its_models() -> None:
    async with serving(lists("llama3", "org/qwen")) as url:
        providers = Providers(ModelsConfig(), SystemClock(), [("ollama", url)])
        provider, model = await providers.find("ollama/org/qwen")
        assert (provider.url, model) == (url, "org/qwen")
        names = [row["name"] for row in await providers.listing()]
        assert names == ["ollama/llama3", "ollama/org/qwen"]


async def test_discovery_can_be_turned_off() -> None:
    async with serving(lists("llama3")) as url:
        providers = Providers(ModelsConfig(discover=False), SystemClock(), [("ollama", url)])
        assert await providers.available() == ()


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
async def test_an_address_may_be_written_with_or_without_its_version(suffix: str) -> None:
    paths: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        paths.append(f"{request.path} {request.headers['Authorization']}")
        return await lists("a")(request)

    async with serving(answer) as url:
        assert len(await connected(url + suffix, api_key="k").available()) == 1
    assert paths == ["/v1/models Bearer k"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"data": 5}',
        b'{"data": [5, {"id": 7}, {"id": ""}]}',
        b"[" * 200_000,
        b'{"data": [' + b'{"id":"a"},' * 600_000 + b"]}",
        b"\xff\xfe",
    ],
)
async def test_a_server_that_is_something_else_is_left_out(body: bytes) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body)

    async with serving(answer) as url:
        assert await connected(url).available() == ()


async def test_a_redirect_is_not_followed() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if "elsewhere" in request.path:
            return await lists("a")(request)
        raise web.HTTPFound("/elsewhere")

    async with serving(answer) as url:
        assert await connected(url).available() == ()


async def test_a_server_that_is_gone_is_an_error_that_names_what_there_is() -> None:
    with pytest.raises(NotFound) as caught:
        await connected("http://127.0.0.1:1").find("mine/a")
    assert caught.value.code == "provider_unknown"
    async with serving(lists("llama3")) as url:
        with pytest.raises(NotFound) as unknown:
            await connected(url).find("mine/other")
    assert unknown.value.code == "model_unknown" and "llama3" in unknown.value.hint


def lease_of(url: str) -> Lease:
    return Lease(
        id="x",
        kind="openai",
        model="llama3",
        url=url,
        api_key="k",
        slot=-1,
        context_tokens=0,
        digest="",
        build="",
        machine="",
        slots_dir="",
        capabilities=CAPABILITIES,
        host_id="",
        quality="medium",
        sampling={},
    )


class Scripted:
    """A server that streams the given pieces."""

    def __init__(self, *pieces: str) -> None:
        self.pieces = pieces
        self.bodies: list[dict[str, Any]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(await request.json())
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for piece in self.pieces:
            event = {"choices": [{"delta": {"content": piece}, "finish_reason": None}]}
            await response.write(f"data: {json.dumps(event)}\n\n".encode())
        last = {"choices": [{"delta": {}, "finish_reason": "length"}]}
        usage = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 9}}
        for end in (json.dumps(last), json.dumps(usage), "[DONE]"):
            await response.write(f"data: {end}\n\n".encode())
        return response


ASK = GenerationRequest(messages=[{"role": "user", "content": "?"}], max_tokens=9, seed=4)


async def test_a_connected_server_streams_its_answer() -> None:
    server = Scripted("नम", "स्ते", " world")
    async with serving(server.answer) as url:
        attempt = Attempt()
        result = await attempt.run(lease_of(url), ASK)
    assert result.text == attempt.text == "नमस्ते world"
    assert result.finish_reason == "length"
    assert (result.prompt_tokens, result.completion_tokens) == (7, 9)
    assert server.bodies[0]["model"] == "llama3" and server.bodies[0]["max_tokens"] == 9


async def test_a_connected_server_chooses_its_tokens_as_it_likes_unless_it_is_told() -> None:
    server = Scripted("one")
    async with serving(server.answer) as url:
        await Attempt().run(lease_of(url), ASK)
        await Attempt().run(lease_of(url), replace(ASK, temperature=0.5, repeat_penalty=1.0))
    silent, told = server.bodies
    assert not {"temperature", "top_p", "repeat_penalty"} & set(silent)
    assert told["temperature"] == 0.5
    assert not {"top_p", "repeat_penalty"} & set(told)


async def test_an_answer_of_a_connected_server_is_written_again_from_its_start() -> None:
    async with serving(Scripted("one ", "two").answer) as url:
        attempt = Attempt()
        await attempt.run(lease_of(url), ASK)
        del attempt.chunks[1:]
        seen = len(attempt.chunks)
        result = await attempt.run(lease_of(url), ASK)
    assert [one.mode for one in attempt.resumptions] == ["restarted"]
    assert attempt.chunks[seen].offset == 0
    assert "".join(chunk.text for chunk in attempt.chunks[seen:]) == result.text == "one two"
