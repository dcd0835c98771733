"""The REST calls by subject. Each sends one request; errors are those of `Client.request`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import quote

import aiohttp

from regend.client.items import StreamEvent
from regend.client.records import EventPage, Job, JobPage, Json
from regend.errors import BadInput, Failed
from regend.library.folder import printable
from regend.limits import MAX_PAGE_LENGTH

_API = "/api/v1"
Rows = list[Json]


class Request(Protocol):
    """Makes one call; see `Client.request`."""

    async def __call__(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        form: aiohttp.MultipartWriter | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Return the JSON of the answer."""


class Jobs:
    """`/jobs`: create, list, steer and inspect."""

    def __init__(self, request: Request, new_key: Callable[[], str]) -> None:
        self._request = request
        self._new_key = new_key

    async def create(
        self,
        job_type: str,
        job_input: Mapping[str, Any],
        *,
        title: str | None = None,
        model: str | None = None,
        priority: int | None = None,
        max_attempts: int | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Create a job and return it; the same key and input give the same job.

        Raises:
            Conflict: the key was used with another input.
        """
        options = {
            "title": title,
            "model": model,
            "priority": priority,
            "max_attempts": max_attempts,
        }
        body: Json = {"type": job_type, "input": dict(job_input)}
        body |= {name: value for name, value in options.items() if value is not None}
        headers = {"Idempotency-Key": idempotency_key or self._new_key()}
        job: Job = await self._request("POST", f"{_API}/jobs", body=body, headers=headers)
        return job

    async def list(
        self,
        *,
        state: str | None = None,
        job_type: str | None = None,
        q: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> JobPage:
        """Return a page of jobs, newest first; `state="pending"` means all that are not over."""
        query = {"state": state, "type": job_type, "q": q, "limit": limit, "cursor": cursor}
        page: JobPage = await self._request("GET", f"{_API}/jobs", query=query)
        return page

    async def get(self, job_id: str) -> Job:
        """Return the job.

        Raises:
            NotFound: there is none, or it is another's.
        """
        job: Job = await self._request("GET", _path("jobs", job_id))
        return job

    async def cancel(self, job_id: str, *, idempotency_key: str | None = None) -> Job:
        """Ask for its end; Conflict where it is over.

        Args:
            idempotency_key: here and below: the same command with the same key is carried out
                once, so it may be given again where its answer was lost.
        """
        return await self._steer(job_id, "cancel", {}, idempotency_key)

    async def pause(self, job_id: str, *, idempotency_key: str | None = None) -> Job:
        """Ask it to stop at its next checkpoint; Conflict where it cannot."""
        return await self._steer(job_id, "pause", {}, idempotency_key)

    async def resume(
        self, job_id: str, choice: str | None = None, *, idempotency_key: str | None = None
    ) -> Job:
        """Let it go on from its last checkpoint; Conflict where it cannot.

        Args:
            choice: for a job that waits for one: one of the `choices` in its `waiting`.
        """
        body = {} if choice is None else {"choice": choice}
        return await self._steer(job_id, "resume", body, idempotency_key)

    async def retry(self, job_id: str, *, idempotency_key: str | None = None) -> Job:
        """Try a failed job again; Conflict where it cannot."""
        return await self._steer(job_id, "retry", {}, idempotency_key)

    async def fork(
        self, job_id: str, step: int | None = None, *, idempotency_key: str | None = None
    ) -> Job:
        """Return a new job that shares the steps of this one.

        Args:
            step: ordinal of the last that is shared, 0 for none; None for all that are finished.
        """
        body = {} if step is None else {"step": step}
        return await self._steer(job_id, "fork", body, idempotency_key)

    async def steps(self, job_id: str) -> Rows:
        """Return what ran, when, how long, and with what result."""
        return rows(await self._request("GET", _path("jobs", job_id, "steps")), "steps")

    async def checkpoints(self, job_id: str) -> Rows:
        """Return the points from which the job can go on."""
        answer = await self._request("GET", _path("jobs", job_id, "checkpoints"))
        return rows(answer, "checkpoints")

    async def events(
        self, job_id: str, *, after_seq: int | None = None, limit: int | None = None
    ) -> EventPage:
        """Return a page of the job's events, oldest first."""
        query = {"after_seq": after_seq, "limit": limit}
        answer = await self._request("GET", _path("jobs", job_id, "events"), query=query)
        try:
            return {"events": [StreamEvent.from_json(row) for row in rows(answer, "events")]}
        except ValueError as error:
            raise Failed(
                "answer_not_understood", f"The daemon sent a bad event: {error}."
            ) from error

    async def _steer(self, job_id: str, verb: str, body: Json, key: str | None) -> Job:
        headers = {} if key is None else {"Idempotency-Key": key}
        path = _path("jobs", job_id, verb)
        job: Job = await self._request("POST", path, body=body, headers=headers)
        return job


class Approvals:
    """`/approvals`: what waits for a person."""

    def __init__(self, request: Request) -> None:
        self._request = request

    async def list(self) -> Rows:
        """Return the open approvals."""
        return rows(await self._request("GET", f"{_API}/approvals"), "approvals")

    async def decide(
        self, approval_id: str, decision: Literal["approve", "deny"], action_hash: str
    ) -> Json:
        """Decide an approval, bound to the hash of exactly what was shown.

        Raises:
            Conflict: it was decided before, or the hash is of another action.
        """
        body = {"decision": decision, "action_hash": action_hash}
        answer: Json = await self._request("POST", _path("approvals", approval_id), body=body)
        return answer


class Library:
    """`/library`: the person's documents."""

    def __init__(self, request: Request) -> None:
        self._request = request

    async def add_file(self, path: Path) -> Json:
        """Import one file and return its document.

        Where it lies is told with it: a file that changed since takes the place of its old self.

        Raises:
            BadInput: the file cannot be read.
        """
        try:
            content = await asyncio.to_thread(path.read_bytes)
            place = printable(await asyncio.to_thread(path.resolve))
        except OSError as error:
            raise BadInput(
                "file_unreadable", f"{path} cannot be read: {error.strerror or error}."
            ) from error
        form = aiohttp.MultipartWriter("form-data")
        part = form.append(BytesIO(content))
        # The extended form (RFC 5987), because of the plain one servers cut the leading slash off.
        part.headers["Content-Disposition"] = (
            f"form-data; name=\"file\"; filename*=UTF-8''{quote(place, safe='')}"
        )
        return await self._add(form=form)

    async def add_url(self, url: str) -> Json:
        """Fetch a page and return its document."""
        return await self._add(body={"url": url})

    async def add_capture(
        self, title: str, source: str, *, html: str | None = None, text: str | None = None
    ) -> Json:
        """Import a page that is at hand, as HTML or as text, and return its document."""
        body = {"title": title, "source": source, "html": html, "text": text}
        return await self._add(body={name: value for name, value in body.items() if value})

    async def list(self) -> Rows:
        """Return all documents, newest first."""
        found: Rows = []
        cursor = None
        while True:
            query = {"limit": MAX_PAGE_LENGTH, "cursor": cursor}
            page = await self._request("GET", f"{_API}/library", query=query)
            found += rows(page, "documents")
            cursor = page.get("next_cursor")
            if cursor is None:
                return found

    async def search(self, q: str, limit: int | None = None) -> Rows:
        """Return hits with passage, score and span, best first."""
        query = {"q": q, "limit": limit}
        return rows(await self._request("GET", f"{_API}/library/search", query=query), "hits")

    async def remove(self, document_id: str) -> None:
        """Forget a document."""
        await self._request("DELETE", _path("library", document_id))

    async def _add(
        self, *, body: Mapping[str, Any] | None = None, form: aiohttp.MultipartWriter | None = None
    ) -> Json:
        document: Json = await self._request("POST", f"{_API}/library", body=body, form=form)
        return document


class Models:
    """`/models`: which models are here, and getting and dropping them."""

    def __init__(self, request: Request) -> None:
        self._request = request

    async def list(self) -> Rows:
        """Return the catalogue and what of it is here."""
        return rows(await self._request("GET", f"{_API}/models"), "models")

    async def running(self) -> Rows:
        """Return the loaded models."""
        return rows(await self._request("GET", f"{_API}/models/running"), "models")

    async def pull(self, name: str) -> Job:
        """Start to get a model and return the job that does."""
        job: Job = await self._request("POST", f"{_API}/models/pull", body={"name": name})
        return job

    async def remove(self, name: str) -> None:
        """Delete a model's file."""
        await self._request("DELETE", _path("models", name))


class Tokens:
    """`/tokens`: who may call."""

    def __init__(self, request: Request) -> None:
        self._request = request

    async def list(self) -> Rows:
        """Return the tokens, without their secrets."""
        return rows(await self._request("GET", f"{_API}/tokens"), "tokens")

    async def create(
        self, user: str, scopes: Sequence[str], *, expires_s: float | None = None, name: str = ""
    ) -> Json:
        """Create a token; its secret is in the answer and nowhere else.

        Args:
            scopes: what it allows, such as `jobs:read`; `*` for everything.
            expires_s: its life in seconds; None for until it is revoked.
            name: what it is for.
        """
        body = {"user": user, "scope": list(scopes), "expires_s": expires_s, "name": name}
        token: Json = await self._request("POST", f"{_API}/tokens", body=body)
        return token

    async def revoke(self, token_id: str) -> None:
        """End a token at once."""
        await self._request("DELETE", _path("tokens", token_id))


def rows(answer: Any, name: str) -> Rows:
    """Return the list that an answer carries under `name`.

    Raises:
        Failed: there is none.
    """
    found = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(found, list):
        raise Failed("answer_not_understood", f"The daemon's answer has no list of {name}.")
    return found


def _path(*parts: str) -> str:
    return "/".join([_API, *(quote(part, safe="") for part in parts)])
