"""HTTP to a model host or a connected server, from a worker: blocking, and closable at any time.

`http.client` and nothing more, because a worker must start fast. A read that blocks (a prefill may
take minutes) ends at once when another thread calls `close`.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Generator, Iterator
from typing import Any
from urllib.parse import urlsplit

from regend import limits
from regend.errors import BadInput, Failed, NotAuthenticated, RegendError, Retryable
from regend.models.lease import Lease


class Closed(Exception):
    """The client was closed by `close` while it worked."""


class HostClient:
    """Calls of one lease, one at a time.

    `close` may be called from any thread; everything else belongs to one.
    """

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._guard = threading.Lock()
        self._socket: socket.socket | None = None
        self._closed = False

    def close(self) -> None:
        """End the call under way, which raises `Closed`, and all later ones; safe to repeat."""
        with self._guard:
            self._closed = True
            self._hang_up()

    def _hang_up(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def call(self, path: str, body: Any) -> Any:
        """Post a JSON body and return the JSON answer.

        Raises:
            Closed: `close` was called.
            RegendError: as `_error_of` tells.
            Retryable: `model_host_died`; nobody answers, or the answer broke off.
        """
        with self._connected() as connection:
            with contextlib.closing(self._post(connection, path, body)) as response:
                answer = response.read()
            if response.status >= 400:
                raise self._error_of(response.status, answer)
            return json.loads(answer)

    def stream(self, path: str, body: Any) -> Generator[Any, None, None]:
        """Post a JSON body and yield the objects of the event stream that answers.

        The request is on its way when this returns. Closing the iterator hangs up, which stops
        the server's work.

        Raises: as `call`.
        """
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(self._connected())
            self._send(connection, path, body)
            return self._events(stack.pop_all(), connection)

    def _events(
        self, stack: contextlib.ExitStack, connection: http.client.HTTPConnection
    ) -> Generator[Any, None, None]:
        with stack:
            response = stack.enter_context(contextlib.closing(connection.getresponse()))
            if response.status >= 400:
                raise self._error_of(response.status, response.read(limits.HOST_ANSWER_BYTES))
            whole = False
            while line := response.readline(limits.SERVER_LINE_BYTES):
                if line.startswith(b"data: [DONE]"):
                    return
                kind, _, payload = line.partition(b": ")
                if kind in (b"data", b"error"):
                    event = _parsed(payload, len(line))
                    if kind == b"error" or "error" in event:
                        raise self._error_of(500, payload)
                    whole = whole or _is_last(event)
                    yield event
            if not whole:
                raise http.client.IncompleteRead(b"")

    @contextlib.contextmanager
    def _connected(self) -> Iterator[http.client.HTTPConnection]:
        """Hand out a connection, and turn what can go wrong with it into our errors."""
        connection = self._make_connection()
        try:
            connection.connect()
            with self._guard:
                self._socket = connection.sock
                if self._closed:
                    raise Closed
            connection.sock.settimeout(None)  # a prefill may take minutes; `close` ends it
            yield connection
        except (OSError, http.client.HTTPException, ValueError) as error:
            if self._closed:
                raise Closed from None
            raise self._died(error) from error
        finally:
            with self._guard:
                self._hang_up()
                self._socket = None
            connection.close()

    def _make_connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self._lease.url)
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        return kind(parts.hostname or "", parts.port, timeout=limits.HOST_CONNECT_TIMEOUT_S)

    def _post(
        self, connection: http.client.HTTPConnection, path: str, body: Any
    ) -> http.client.HTTPResponse:
        self._send(connection, path, body)
        return connection.getresponse()

    def _send(self, connection: http.client.HTTPConnection, path: str, body: Any) -> None:
        headers = {"Content-Type": "application/json"}
        if self._lease.api_key:
            headers["Authorization"] = f"Bearer {self._lease.api_key}"
        prefix = urlsplit(self._lease.url).path.rstrip("/")
        connection.request("POST", prefix + path, json.dumps(body).encode(), headers)

    def _died(self, error: Exception) -> RegendError:
        if self._lease.kind == "embedded":
            return Retryable(
                "model_host_died",
                f"The model host of “{self._lease.model}” is gone.",
                hint="The job goes on from its last checkpoint in a new one.",
            )
        return Retryable(
            "model_server_unreachable",
            f"The server at {self._lease.url} does not answer: {error or type(error).__name__}.",
            hint="Start it again, or choose another model.",
        )

    def _error_of(self, status: int, answer: bytes) -> RegendError:
        """Return the error that an answer describes, in the shapes that such servers use."""
        message, details = _read_error(answer)
        if details.get("type") == "exceed_context_size_error":
            return context_overflow(int(details["n_prompt_tokens"]), int(details["n_ctx"]))
        if "context length" in message.lower() or "context size" in message.lower():
            return BadInput("context_overflow", message, hint="Ask for less, or with less text.")
        if status in (401, 403):
            return NotAuthenticated(
                "model_server_refused",
                f"The model server refused the key: {message}",
                hint="Set api_key of this provider in config.toml.",
            )
        if status in (429, 503):
            return Retryable("model_server_busy", f"The model server is busy: {message}")
        if status < 500:
            return BadInput("model_request_refused", f"The model cannot do this: {message}")
        return Failed("model_failed", f"The model server failed: {message}")


def answer_invalid() -> Failed:
    """Return the error for an answer that no server of this kind sends."""
    return Failed(
        "model_answer_invalid",
        "The server's answer is not what an OpenAI-compatible server sends.",
        hint="Check the address of this provider in config.toml.",
    )


def _parsed(payload: bytes, line_bytes: int) -> Any:
    """Return the object of one line of an event stream, which was read up to its bound.

    Raises:
        IncompleteRead: the line broke off.
        Failed: `model_answer_invalid`; it is whole, or over its bound, and no JSON.
    """
    try:
        return json.loads(payload)
    except (ValueError, RecursionError) as error:
        if not payload.endswith(b"\n") and line_bytes < limits.SERVER_LINE_BYTES:
            raise http.client.IncompleteRead(b"") from error
        raise answer_invalid() from error


def _is_last(event: Any) -> bool:
    """Return whether nothing but usage follows; a stream that ends before that was cut off."""
    choices = event.get("choices") or [{}]
    return event.get("stop") is True or choices[0].get("finish_reason") is not None


def _read_error(answer: bytes) -> tuple[str, dict[str, Any]]:
    try:
        body = json.loads(answer)
    except (ValueError, RecursionError):
        return answer[:300].decode("utf-8", errors="replace"), {}
    details = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(details, dict):
        return str(details)[:300], {}
    return str(details.get("message", details))[:300], details


def context_overflow(used_tokens: int, limit_tokens: int) -> BadInput:
    """Return the error for a prompt that is longer than the model's context."""
    return BadInput(
        "context_overflow",
        f"The prompt has {used_tokens} tokens, and the model takes {limit_tokens} for prompt and "
        "answer together.",
        hint="Shorten the text, or use a model with a longer context.",
    )
