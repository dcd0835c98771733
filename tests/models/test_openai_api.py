"""The OpenAI-compatible endpoints over the real model."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from regend.clock import SystemClock
from regend.config import ProviderConfig
from regend.home import Home
from regend.models.openai_api import routes
from regend.models.pool import ModelPool
from tests.models.conftest import small_config

Client = TestClient[web.Request, web.Application]
HI = {"messages": [{"role": "user", "content": "Say hi."}], "max_tokens": 8, "temperature": 0}


@pytest.fixture
async def client(pool: ModelPool) -> Any:
    application = web.Application()
    application.add_routes(routes(pool))
    async with TestClient(TestServer(application)) as client:
        yield client


async def ask(client: Client, path: str, body: Any) -> tuple[int, Any]:
    async with client.post(path, json=body) as response:
        return response.status, await response.json()


async def test_a_conversation_is_answered_in_openais_shape(client: Client) -> None:
    status, answer = await ask(client, "/v1/chat/completions", {**HI, "model": "smollm2-135m"})
    assert status == 200 and answer["object"] == "chat.completion"
    assert answer["model"] == "smollm2-135m"
    assert answer["choices"][0]["message"]["content"]
    assert answer["usage"]["completion_tokens"] == 8


async def test_a_stream_carries_the_same_text_and_ends_with_done(client: Client) -> None:
    _, whole = await ask(client, "/v1/chat/completions", HI)
    async with client.post("/v1/chat/completions", json={**HI, "stream": True}) as response:
        assert response.content_type == "text/event-stream"
        lines = (await response.text()).split("\n\n")
    assert lines[-2] == "data: [DONE]"
    events = [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]
    text = "".join(
        choice["delta"].get("content") or "" for event in events for choice in event["choices"]
    )
    assert text == whole["choices"][0]["message"]["content"]


async def test_a_completion_and_the_list_of_models(client: Client) -> None:
    body = {"prompt": "The capital of France is", "max_tokens": 3, "temperature": 0}
    status, answer = await ask(client, "/v1/completions", body)
    assert status == 200 and "Paris" in answer["choices"][0]["text"]
    async with client.get("/v1/models") as response:
        models = await response.json()
    assert [row["id"] for row in models["data"]] == ["smollm2-135m"]


async def test_a_schema_is_followed(client: Client) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer", "maximum": 99}},
        "required": ["n"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema, "strict": True}}
    body = {**HI, "max_tokens": 40, "response_format": form}
    status, answer = await ask(client, "/v1/chat/completions", body)
    assert status == 200
    assert set(json.loads(answer["choices"][0]["message"]["content"])) == {"n"}


UNBOUNDED = {
    "type": "json_schema",
    "json_schema": {"name": "a", "schema": {"type": "array", "maxItems": 10**8}},
}
CIRCULAR = {
    "type": "json_schema",
    "json_schema": {"name": "a", "schema": {"allOf": [{"$ref": "#/allOf/0"}]}},
}
EXPLODING = {
    "type": "json_schema",
    "json_schema": {"name": "a", "schema": {"pattern": "^((((a?){30}){30}){30})$"}},
}
TOO_MANY: list[dict[str, Any]] = [
    {"logprobs": True, "top_logprobs": 21},
    {"logprobs": True, "top_logprobs": 49_152},
    {"top_logprobs": -1},
    {"top_logprobs": 2.0},
    {"top_logprobs": True},
    {"logprobs": 49_152},
    {"logprobs": "20"},
]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


async def test_tools_that_the_model_need_not_use_are_left_out(client: Client) -> None:
    status, answer = await ask(client, "/v1/chat/completions", {**HI, "tools": [TOOL]})
    assert status == 200 and answer["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        (
            "chat/completions",
            {**HI, "tools": [TOOL], "tool_choice": "required"},
            400,
            "model_cannot",
        ),
        (
            "chat/completions",
            {**HI, "tool_choice": {"type": "function", "function": {"name": "look"}}},
            400,
            "model_cannot",
        ),
        ("chat/completions", {**HI, "model": "smolm2-135m"}, 404, "model_unknown"),
        ("chat/completions", {**HI, "model": 5}, 400, "model_invalid"),
        ("chat/completions", {**HI, "model": "none/such"}, 404, "provider_unknown"),
        ("chat/completions", {**HI, "n": 2}, 400, "n_unsupported"),
        ("chat/completions", {"messages": []}, 400, "messages_invalid"),
        ("chat/completions", {"messages": "hi"}, 400, "messages_invalid"),
        ("chat/completions", [], 400, "body_invalid"),
        (
            "chat/completions",
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "image_url", "image_url": {"url": "http://127.0.0.1/"}}
                        ],
                    }
                ]
            },
            400,
            "messages_invalid",
        ),
        ("chat/completions", {**HI, "response_format": UNBOUNDED}, 400, "schema_too_large"),
        ("chat/completions", {**HI, "tools": [UNBOUNDED]}, 400, "schema_too_large"),
        ("chat/completions", {**HI, "response_format": CIRCULAR}, 400, "schema_impossible"),
        *(("chat/completions", {**HI, **asked}, 400, "logprobs_invalid") for asked in TOO_MANY),
        ("completions", {"prompt": "Hi", "logprobs": 49_152}, 400, "logprobs_invalid"),
        ("completions", {"prompt": "Hi", "top_logprobs": 21}, 400, "logprobs_invalid"),
        ("chat/completions", {**HI, "response_format": EXPLODING}, 400, "schema_too_large"),
        ("chat/completions", {**HI, "tools": [EXPLODING]}, 400, "schema_too_large"),
        ("completions", {"prompt": ["a", "b"]}, 400, "prompt_invalid"),
        ("completions", {"prompt": "word " * 9000}, 400, "context_length_exceeded"),
        ("embeddings", {"input": "text"}, 400, "model_cannot"),
        ("embeddings", {"input": []}, 400, "input_invalid"),
        ("embeddings", {"input": [5]}, 400, "input_invalid"),
    ],
)
async def test_what_cannot_be_served_is_an_error_in_openais_shape(
    client: Client, path: str, body: Any, status: int, code: str
) -> None:
    got, answer = await ask(client, f"/v1/{path}", body)
    assert (got, answer["error"]["code"]) == (status, code)
    assert answer["error"]["message"] and answer["error"]["type"]


async def test_up_to_twenty_alternatives_to_each_token_are_told(client: Client) -> None:
    asked = {"logprobs": True, "top_logprobs": 20}
    status, answer = await ask(client, "/v1/chat/completions", {**HI, **asked})
    assert status == 200
    assert len(answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]) == 20
    status, _ = await ask(
        client, "/v1/completions", {"prompt": "Hi", "max_tokens": 2, "logprobs": 5}
    )
    assert status == 200


async def test_an_answer_without_end_goes_through_in_pieces_and_is_never_held_whole(
    model_home: Home,
) -> None:
    left = asyncio.Event()
    sent = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        response.content_type = "application/json"
        await response.prepare(request)
        try:
            while True:
                await response.write(b" " * 2**16)
                sent += 2**16
        finally:
            left.set()

    async def models(request: web.Request) -> web.StreamResponse:
        return web.json_response({"object": "list", "data": [{"id": "endless"}]})

    server = web.Application()
    server.router.add_get("/v1/models", models)
    server.router.add_post("/v1/chat/completions", flood)
    async with TestServer(server, host="127.0.0.1") as upstream:
        provider = ProviderConfig("far", str(upstream.make_url("/")).rstrip("/"), "")
        pool = ModelPool(model_home, small_config(providers=(provider,)), SystemClock())
        application = web.Application()
        application.add_routes(routes(pool))
        async with TestClient(TestServer(application)) as client:
            body = {**HI, "model": "far/endless"}
            response = await client.post("/v1/chat/completions", json=body)
            assert response.status == 200
            assert await response.content.readexactly(2**20)
            await asyncio.sleep(0.5)
            assert sent < 2**26
            response.close()
            async with asyncio.timeout(20):
                await left.wait()
        await pool.close()


async def test_a_body_that_is_no_json_is_refused(client: Client) -> None:
    async with client.post("/v1/completions", data=b"{" * 100_000) as response:
        assert response.status == 400
        assert (await response.json())["error"]["type"] == "invalid_request_error"


async def test_nobody_chooses_anothers_slot(client: Client, pool: ModelPool) -> None:
    held = await pool.acquire("")
    body = {**HI, "id_slot": held.slot, "cache_prompt": False, "n_probs": 50}
    status, answer = await ask(client, "/v1/chat/completions", body)
    assert status == 200 and "__verbose" not in answer
    pool.release(held)


async def test_a_client_that_hangs_up_frees_its_slot(client: Client, pool: ModelPool) -> None:
    body = {"prompt": "Once upon a time", "max_tokens": 4000, "stream": True, "temperature": 1}
    response = await client.post("/v1/completions", json=body)
    await response.content.readline()
    assert pool.running()[0]["busy_slots"] == 1
    response.close()
    async with asyncio.timeout(20):
        while pool.running()[0]["busy_slots"]:
            await asyncio.sleep(0.05)
