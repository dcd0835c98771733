"""Connected servers: any that speaks OpenAI's API, from the configuration or found on loopback.

Rules: nothing here ever delays the daemon's start; a server that is slow, strange or gone is left
out; answers are bounded and checked before they are believed; redirects are not followed.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import aiohttp

from regend import limits
from regend.clock import Clock
from regend.config import ModelsConfig, ProviderConfig
from regend.errors import NotFound
from regend.models.lease import Lease

# What such a server is asked for; it answers with an error where a model of it cannot.
CAPABILITIES = ("chat", "json_schema", "tools", "embeddings")

USUAL_ADDRESSES = (
    ("ollama", "http://127.0.0.1:11434"),
    ("lmstudio", "http://127.0.0.1:1234"),
    ("llamacpp", "http://127.0.0.1:8080"),
    ("vllm", "http://127.0.0.1:8000"),
)


@dataclass(frozen=True)
class Provider:
    """A connected server and the models that it lists.

    Attributes:
        name: the part before the slash in `name/model`.
        url: base address without `/v1` and without a trailing slash.
        models: ids as the server gives them.
    """

    name: str
    url: str
    api_key: str
    models: tuple[str, ...]

    def lease(self, model: str) -> Lease:
        """Return the right to ask this server for a model; it needs no giving back."""
        return Lease(
            id=secrets.token_hex(8),
            kind="openai",
            model=model,
            url=self.url,
            api_key=self.api_key,
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


class Providers:
    """The connected servers; what they list is kept for `limits.PROVIDER_CACHE_S`.

    Args:
        usual_addresses: where to look besides the configuration, as (name, address).
    """

    def __init__(
        self,
        config: ModelsConfig,
        clock: Clock,
        usual_addresses: Iterable[tuple[str, str]] = USUAL_ADDRESSES,
    ) -> None:
        self._clock = clock
        self._configured = [_normal(one) for one in config.providers]
        named = {one.name for one in self._configured}
        placed = {one.url for one in self._configured}
        if config.discover:
            self._configured += [
                ProviderConfig(name, url)
                for name, url in usual_addresses
                if name not in named and url not in placed
            ]
        self._found: tuple[Provider, ...] = ()
        self._asked_s: float | None = None
        self._asking = asyncio.Lock()

    async def available(self) -> tuple[Provider, ...]:
        """Return the servers that answer, each with its models; asks them at most every 30 s."""
        async with self._asking:
            now_s = self._clock.monotonic_s()
            if self._asked_s is None or now_s - self._asked_s > limits.PROVIDER_CACHE_S:
                self._found = await self._ask_all()
                self._asked_s = self._clock.monotonic_s()
            return self._found

    async def find(self, name: str) -> tuple[Provider, str]:
        """Return the server and the model id that `provider/model` names.

        Raises:
            NotFound: `provider_unknown` or `model_unknown`, saying what there is.
        """
        wanted, _, model = name.partition("/")
        providers = await self.available()
        for provider in providers:
            if provider.name == wanted:
                if model in provider.models:
                    return provider, model
                listed = ", ".join(provider.models[:10]) or "none"
                raise NotFound(
                    "model_unknown",
                    f"The server “{wanted}” has no model “{model[:100]}”.",
                    hint=f"It lists: {listed}.",
                    field="model",
                )
        known = ", ".join(provider.name for provider in providers) or "none"
        raise NotFound(
            "provider_unknown",
            f"No connected server is called “{wanted[:100]}”, or it does not answer.",
            hint=f"Answering now: {known}. Others are named in config.toml under models.providers.",
            field="model",
        )

    async def listing(self) -> list[dict[str, Any]]:
        """Return the models of all connected servers as JSON objects for `GET /models`."""
        return [
            {
                "name": f"{provider.name}/{model}",
                "installed": True,
                "size_bytes": None,
                "licence": "",
                "context_tokens": None,
                "capabilities": list(CAPABILITIES),
                "quality": "medium",
                "sha256": "",
                "description": "",
                "provider": provider.name,
            }
            for provider in await self.available()
            for model in provider.models
        ]

    async def _ask_all(self) -> tuple[Provider, ...]:
        if not self._configured:
            return ()
        timeout = aiohttp.ClientTimeout(total=limits.PROVIDER_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            answers = await asyncio.gather(*(_ask(session, one) for one in self._configured))
        return tuple(answer for answer in answers if answer is not None)


def _normal(config: ProviderConfig) -> ProviderConfig:
    """Return the configuration with its address in the form that paths are appended to."""
    url = config.url.rstrip("/").removesuffix("/v1").rstrip("/")
    return ProviderConfig(config.name, url, config.api_key)


async def _ask(session: aiohttp.ClientSession, config: ProviderConfig) -> Provider | None:
    headers = {"Authorization": f"Bearer {config.api_key}"} if config.api_key else {}
    try:
        async with session.get(
            f"{config.url}/v1/models", headers=headers, allow_redirects=False
        ) as response:
            if response.status != 200:
                return None
            body = await _read_bounded(response)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, RecursionError):
        return None
    models = _model_ids(body)
    return Provider(config.name, config.url, config.api_key, models) if models else None


async def _read_bounded(response: aiohttp.ClientResponse) -> Any:
    raw = await response.content.read(limits.PROVIDER_ANSWER_BYTES)
    while piece := await response.content.read(limits.PROVIDER_ANSWER_BYTES):
        raw += piece
        if len(raw) > limits.PROVIDER_ANSWER_BYTES:
            raise ValueError("too long")
    return json.loads(raw)


def _model_ids(body: Any) -> tuple[str, ...]:
    """Return the ids of a model list; none where it is not such a list."""
    rows = body.get("data") if isinstance(body, dict) else None
    if not isinstance(rows, list):
        return ()
    ids = [row.get("id") for row in rows[: limits.PROVIDER_MODELS] if isinstance(row, dict)]
    return tuple(one for one in ids if isinstance(one, str) and one)
