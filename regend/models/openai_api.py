"""The OpenAI-compatible endpoints, so that any client can use this daemon's models.

A request becomes a lease of one slot and is passed on to the model host or connected server; of its
fields only the known ones go through, so that nobody reaches another's slot. What a model cannot
do is an error in OpenAI's shape, never a shrug. Who may call is decided by the application's
middleware.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import aiohttp
from aiohttp import web

from regend import jsontext
from regend.errors import BadInput, Busy, RegendError
from regend.jobs.schemas import check_schema
from regend.limits import ALTERNATIVES_TO_A_TOKEN, HOST_ANSWER_BYTES
from regend.models import catalogue
from regend.models.lease import Lease
from regend.models.pool import ModelPool

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_COMMON_FIELDS = frozenset(
    {
        *("max_tokens", "max_completion_tokens", "temperature", "top_p", "seed", "stop"),
        *("stream", "stream_options", "presence_penalty", "frequency_penalty", "logit_bias"),
        *("logprobs", "top_logprobs"),
    }
)
_CHAT_FIELDS = _COMMON_FIELDS | {"messages", "response_format", "tools", "tool_choice"}
_COMPLETION_FIELDS = _COMMON_FIELDS | {"prompt", "suffix", "echo"}
_EMBEDDING_FIELDS = frozenset({"input", "encoding_format", "dimensions"})
_ERROR_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_SCHEMAS_WITHIN = (("schema",), ("json_schema", "schema"), ("function", "parameters"))
_GONE_POLL_S = 0.25
_MAX_INPUTS = 256  # texts in one request for embeddings


def routes(pool: ModelPool) -> list[web.RouteDef]:
    """Return the routes of `/v1`, served from the pool's models."""
    api = _Api(pool)
    return [
        web.get("/v1/models", _in_openai_shape(api.models)),
        web.post("/v1/chat/completions", _in_openai_shape(api.chat)),
        web.post("/v1/completions", _in_openai_shape(api.complete)),
        web.post("/v1/embeddings", _in_openai_shape(api.embed)),
    ]


def error_body(error: RegendError) -> dict[str, Any]:
    """Return an error as OpenAI's clients expect it."""
    fallback = "invalid_request_error" if error.status < 500 else "server_error"
    return {
        "error": {
            "message": f"{error.message} {error.hint}".strip(),
            "type": _ERROR_TYPES.get(error.status, fallback),
            "param": error.field,
            "code": error.code,
        }
    }


def _error_response(error: RegendError) -> web.Response:
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    return web.json_response(error_body(error), status=error.status, headers=headers)


def _in_openai_shape(handler: Handler) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except RegendError as error:
            return _error_response(error)

    return answer


class _Api:
    def __init__(self, pool: ModelPool) -> None:
        self._pool = pool

    async def models(self, request: web.Request) -> web.Response:
        rows = await self._pool.listing()
        models = [
            {"id": row["name"], "object": "model", "created": 0, "owned_by": row["provider"]}
            for row in rows
            if row["installed"]
        ]
        return web.json_response({"object": "list", "data": models})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await _read_body(request)
        _require_small_schemas(body)
        _require_few_alternatives(body)
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise BadInput("messages_invalid", "There is no message.", field="messages")
        async with self._lease(body) as lease:
            if lease.kind == "embedded":
                _require_text(messages)
            body = _require_abilities(body, lease)
            return await _pass_on(request, lease, "/v1/chat/completions", body, _CHAT_FIELDS)

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = await _read_body(request)
        _require_few_alternatives(body)
        if not isinstance(body.get("prompt"), str):
            raise BadInput("prompt_invalid", "The prompt must be one text.", field="prompt")
        async with self._lease(body) as lease:
            return await _pass_on(request, lease, "/v1/completions", body, _COMPLETION_FIELDS)

    async def embed(self, request: web.Request) -> web.StreamResponse:
        body = await _read_body(request)
        texts = body.get("input")
        texts = [texts] if isinstance(texts, str) else texts
        if (
            not isinstance(texts, list)
            or not 0 < len(texts) <= _MAX_INPUTS
            or not all(isinstance(text, str) and text for text in texts)
        ):
            raise BadInput(
                "input_invalid",
                f"The input must be a text, or a list of up to {_MAX_INPUTS} texts.",
                field="input",
            )
        async with self._lease(body) as lease:
            _require(lease, catalogue.EMBEDDINGS, "make embeddings", "model")
            body = {**body, "stream": False}
            return await _pass_on(request, lease, "/v1/embeddings", body, _EMBEDDING_FIELDS)

    @contextlib.asynccontextmanager
    async def _lease(self, body: dict[str, Any]) -> AsyncIterator[Lease]:
        model = body.get("model", "")
        if not isinstance(model, str):
            raise BadInput("model_invalid", "The model is named by a text.", field="model")
        if body.get("n") not in (None, 1):
            raise BadInput("n_unsupported", "Only one answer to a request.", field="n")
        lease = await self._pool.acquire(model, owner="openai")
        try:
            yield lease
        finally:
            self._pool.release(lease)


async def _read_body(request: web.Request) -> dict[str, Any]:
    body = jsontext.loads(await request.read())
    if not isinstance(body, dict):
        raise BadInput("body_invalid", "The body must be a JSON object.")
    return body


def _require(lease: Lease, ability: str, words: str, field: str) -> None:
    if ability not in lease.capabilities:
        raise BadInput(
            "model_cannot",
            f"The model “{lease.model}” cannot {words}.",
            hint="Choose a model that can; GET /api/v1/models lists what each can do.",
            field=field,
        )


def _require_abilities(body: dict[str, Any], lease: Lease) -> dict[str, Any]:
    """Return the body as this model can serve it.

    Raises:
        BadInput: `model_cannot`; the request insists on something that the model cannot do.
    """
    _require(lease, catalogue.CHAT, "hold a conversation", "model")
    form = body.get("response_format") or {}
    if isinstance(form, dict) and form.get("type") in ("json_schema", "json_object"):
        _require(lease, catalogue.JSON_SCHEMA, "follow a JSON schema", "response_format")
    if body.get("tool_choice") not in (None, "auto", "none"):
        _require(lease, catalogue.TOOLS, "call tools", "tool_choice")
    if catalogue.TOOLS in lease.capabilities:
        return body
    # With a free choice, a model that cannot call tools chooses not to.
    return {key: value for key, value in body.items() if key not in ("tools", "tool_choice")}


def _require_small_schemas(body: dict[str, Any]) -> None:
    """Check what the host makes a grammar of: the form of the answer, and of a tool's call.

    The whole is measured, and each schema in it besides by itself: its references begin there.
    """
    tools = body.get("tools")
    called = [(tool, f"tools[{n}]") for n, tool in enumerate(tools if type(tools) is list else ())]
    for form, field in [(body.get("response_format"), "response_format"), *called]:
        check_schema(form, field)
        for inner in _SCHEMAS_WITHIN:
            check_schema(_at(form, inner), f"{field}.{'.'.join(inner)}")


def _require_few_alternatives(body: dict[str, Any]) -> None:
    """Check how many other tokens are asked for with each: a host lists its whole vocabulary."""
    for field in ("logprobs", "top_logprobs"):
        count = body.get(field)
        known = count is None or (isinstance(count, bool) and field == "logprobs")
        if not known and (type(count) is not int or not 0 <= count <= ALTERNATIVES_TO_A_TOKEN):
            raise BadInput(
                "logprobs_invalid",
                f"“{field}” must be a whole number from 0 to {ALTERNATIVES_TO_A_TOKEN}.",
                field=field,
            )


def _at(value: Any, path: Sequence[str]) -> Any:
    """Return what stands at a path of names, None where nothing does."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _require_text(messages: list[Any]) -> None:
    """Check that no message points at an image or another file: the host would fetch it."""
    for number, message in enumerate(messages):
        parts = message.get("content") if isinstance(message, dict) else None
        for part in parts if isinstance(parts, list) else ():
            if not isinstance(part, dict) or part.get("type") != "text":
                raise BadInput(
                    "messages_invalid",
                    "This model reads text only.",
                    field=f"messages[{number}].content",
                )


async def _pass_on(
    request: web.Request,
    lease: Lease,
    path: str,
    body: dict[str, Any],
    fields: frozenset[str],
) -> web.StreamResponse:
    """Send the request to the model, and its answer to the client, until either hangs up."""
    outgoing = {key: value for key, value in body.items() if key in fields}
    outgoing["model"] = lease.model
    if lease.slot >= 0:
        outgoing["id_slot"] = lease.slot
    headers = {"Authorization": f"Bearer {lease.api_key}"} if lease.api_key else {}
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            _ended_with(request),
            session.post(
                f"{lease.url}{path}", json=outgoing, headers=headers, allow_redirects=False
            ) as upstream,
        ):
            return await _relay(request, upstream)
    except aiohttp.ClientError as error:
        raise Busy(
            "model_host_died",
            f"The model “{lease.model}” stopped answering.",
            hint="Try again: it is loaded anew.",
            retry_after_s=1.0,
        ) from error


@contextlib.asynccontextmanager
async def _ended_with(request: web.Request) -> AsyncIterator[None]:
    """Cancel the body of this context when the client hangs up, so that decoding stops."""
    task = asyncio.current_task()
    assert task is not None

    async def watch() -> None:
        while request.transport is not None and not request.transport.is_closing():
            await asyncio.sleep(_GONE_POLL_S)
        task.cancel()

    watcher = asyncio.create_task(watch(), name="watch client")
    try:
        yield
    finally:
        watcher.cancel()


async def _relay(request: web.Request, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
    """Pass an answer on piece by piece; how long it gets is between its server and the client."""
    if upstream.status >= 400:
        raise _error_of(upstream.status, await _beginning(upstream))
    streams = upstream.content_type == "text/event-stream"
    kind = "text/event-stream" if streams else "application/json"
    response = web.StreamResponse(headers={"Content-Type": kind, "Cache-Control": "no-store"})
    pieces = upstream.content.iter_any()
    first = await anext(pieces, b"")  # where a host dies before it, that can still be told
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):  # the client hung up; leaving stops the model
        await response.write(first)
        async for piece in pieces:
            await response.write(piece)
        await response.write_eof()
    return response


async def _beginning(upstream: aiohttp.ClientResponse) -> bytes:
    """Return as much of an answer as an explanation may have."""
    answer = bytearray()
    async for piece in upstream.content.iter_any():
        answer += piece
        if len(answer) >= HOST_ANSWER_BYTES:
            break
    return bytes(answer[:HOST_ANSWER_BYTES])


def _error_of(status: int, answer: bytes) -> RegendError:
    """Return the model server's own complaint as one of our errors."""
    try:
        details = json.loads(answer)["error"]
        message = str(details["message"])[:500]
    except (ValueError, KeyError, TypeError, RecursionError):
        details, message = {}, "The model server answered without an explanation."
    if details.get("type") == "exceed_context_size_error":
        used, limit = details.get("n_prompt_tokens"), details.get("n_ctx")
        return BadInput(
            "context_length_exceeded",
            f"The prompt has {used} tokens, and the model takes {limit} for prompt and answer.",
            hint="Shorten the text, or use a model with a longer context.",
            field="messages",
        )
    if status < 500:
        return BadInput("model_request_refused", message)
    return Busy("model_failed", message, hint="Try again.", retry_after_s=1.0)
