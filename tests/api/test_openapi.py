"""The OpenAPI document is what the daemon does: every endpoint, tried with good and bad data.

One daemon in a thread of its own serves all of it; Schemathesis sends what the document allows and
what it forbids, and looks at status, type and shape of every answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import checks as all_checks
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode

from regend.config import Config, LimitsConfig, ModelsConfig, ServerConfig
from regend.daemon import Daemon
from regend.home import Home

EXAMPLES = 12

CHECKS = [
    all_checks.not_a_server_error,
    all_checks.status_code_conformance,
    all_checks.content_type_conformance,
    all_checks.response_schema_conformance,
    all_checks.negative_data_rejection,
]


class Hosted:
    """A daemon in a thread, for a client that blocks."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.url = ""
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        assert self._ready.wait(30)
        self.token = home.token_file.read_text(encoding="utf-8").strip()

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        config = Config(
            server=ServerConfig(port=0),
            models=ModelsConfig(discover=False),
            limits=LimitsConfig(0, 0),
        )
        # Jobs are taken and not run: what they do is not the document's to say.
        daemon = Daemon(self.home, config, agents={})
        self.url = await daemon.start()
        self._ready.set()
        await self._stop.wait()
        await daemon.stop()

    def close(self) -> None:
        assert self._loop is not None and self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosted]:
    hosted = Hosted(Home.at(tmp_path_factory.mktemp("home")))
    yield hosted
    hosted.close()


@pytest.fixture(scope="module")
def document(hosted: Hosted) -> dict[str, Any]:
    with urllib.request.urlopen(f"{hosted.url}/api/v1/openapi.json", timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def test_every_endpoint_answers_as_documented(hosted: Hosted, document: dict[str, Any]) -> None:
    settled = {"base-url": hosted.url, "generation": {"with-security-parameters": False}}
    schema = schemathesis.openapi.from_dict(document, config=SchemathesisConfig.from_dict(settled))
    headers = {"Authorization": f"Bearer {hosted.token}"}
    tried: dict[str, int] = {}
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()
        for mode in GenerationMode:

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            def answers(case: Any) -> None:
                tried[operation.label] = tried.get(operation.label, 0) + 1  # noqa: B023
                response = case.call(headers=headers, timeout=30)
                case.validate_response(response, checks=CHECKS, headers=headers)

            with contextlib.suppress(Unsatisfiable):  # some calls take nothing that can be wrong
                answers()
    assert set(tried) == {
        f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item
    }


def test_a_field_may_be_null_exactly_where_the_document_says_so(
    hosted: Hosted, document: dict[str, Any]
) -> None:
    """Random requests seldom try this; each field is tried here."""
    headers = {"Authorization": f"Bearer {hosted.token}", "Content-Type": "application/json"}
    job = {"type": "chat", "input": {"prompt": "x"}}
    bodies: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
        "/api/v1/jobs": (job, _new_job_of(document, "chat")),
        "/api/v1/tokens": ({"user": "asha", "scope": "jobs:read"}, None),
        "/api/v1/models/pull": ({"name": "smollm2-135m"}, None),
    }
    tried = 0
    for path, (body, schema) in bodies.items():
        content = document["paths"][path]["post"]["requestBody"]["content"]
        schema = schema or content["application/json"]["schema"]
        for name, rule in schema["properties"].items():
            sent = json.dumps({**body, name: None}).encode()
            request = urllib.request.Request(hosted.url + path, sent, headers, method="POST")
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    taken = answer.status < 300
            except urllib.error.HTTPError as refusal:
                taken = False
                assert 400 <= refusal.code < 500
                refusal.close()
            assert taken == jsonschema_rs.is_valid(rule, None), (path, name)
            tried += 1
    assert tried >= 10


def _new_job_of(document: dict[str, Any], type_name: str) -> dict[str, Any]:
    kinds: list[dict[str, Any]] = document["components"]["schemas"]["NewJob"]["oneOf"]
    return next(kind for kind in kinds if kind["properties"]["type"]["const"] == type_name)


def test_the_document_is_openapi_and_names_each_call_of_the_contract(
    document: dict[str, Any],
) -> None:
    assert document["openapi"].startswith("3.1")
    calls = {
        f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item
    }
    job = "/api/v1/jobs/{job_id}"
    assert calls >= {
        *("GET /health", "GET /metrics", "POST /api/v1/jobs", "GET /api/v1/jobs", f"GET {job}"),
        *(f"POST {job}/{verb}" for verb in ("cancel", "pause", "resume", "retry", "fork")),
        *(f"GET {job}/steps", f"GET {job}/checkpoints", f"GET {job}/events"),
        *("GET /api/v1/approvals", "POST /api/v1/approvals/{approval_id}"),
        *("POST /api/v1/library", "GET /api/v1/library", "GET /api/v1/library/search"),
        *("DELETE /api/v1/library/{document_id}", "GET /api/v1/models", "POST /api/v1/models/pull"),
        *("DELETE /api/v1/models/{name}", "GET /api/v1/models/running"),
        *("GET /api/v1/analytics/summary", "GET /api/v1/analytics/dau"),
        *("GET /api/v1/tokens", "POST /api/v1/tokens", "DELETE /api/v1/tokens/{token_id}"),
        *("POST /api/v1/auth/session", "POST /api/v1/auth/ticket"),
    }
    for item in document["paths"].values():
        for operation in item.values():
            assert operation["summary"] and operation["responses"]


def test_each_schema_of_the_document_is_one(document: dict[str, Any]) -> None:
    def walk(value: Any) -> Iterator[Any]:
        if isinstance(value, dict):
            yield from (value["schema"] for _ in (0,) if isinstance(value.get("schema"), dict))
            for one in value.values():
                yield from walk(one)
        elif isinstance(value, list):
            for one in value:
                yield from walk(one)

    found = list(walk(document["paths"])) + list(document["components"]["schemas"].values())
    assert len(found) > 30
    for one in found:
        assert jsonschema_rs.meta.is_valid(one), one
    names = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert names <= set(document["components"]["schemas"])


def test_the_contract_names_every_path(document: dict[str, Any]) -> None:
    """Every path of this interface is under one version."""
    for path in document["paths"]:
        assert path in ("/health", "/metrics") or path.startswith("/api/v1/"), Path(path)
