"""The daemon as the commands see it: calls that return JSON or raise what it said.

Where it listens and the token are read anew for every call, because a daemon that was started
again may have another port. A call whose connection breaks is made again if that can do no harm:
it only reads, or it carries an idempotency key.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

from regend.cli.wire import Dropped, Exchange, Origin, Unreachable, parse_origin
from regend.errors import (
    NOT_RUNNING_CODE,
    Failed,
    NotAuthenticated,
    RegendError,
    not_running,
)
from regend.home import Home, is_served
from regend.limits import MAX_PAGE_LENGTH

API = "/api/v1"

_RETRY_WAITS_S = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)  # a daemon is back after a second or two
_PIECE_BYTES = 256 * 1024
_TOKEN = re.compile(r"[!-~]+")  # what a header can carry
_NEW_TOKEN = "To have a new one written: regend stop, then regend serve --background"
_SAFE_IN_URL = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")


class Daemon:
    """A caller of the daemon of one home."""

    def __init__(self, home: Home | None = None) -> None:
        self.home = home or Home.find()

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON at a path below `/api/v1`.

        Raises:
            RegendError: what the daemon answered, or that none is running.
        """
        return self._repeated("GET", path + query_text(query), None, {})

    def every(self, path: str, name: str) -> list[dict[str, Any]]:
        """Return the whole list that is paged at a path under `name`.

        Raises:
            RegendError: what the daemon answered, or that none is running.
        """
        found: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = self.get(path, {"limit": MAX_PAGE_LENGTH, "cursor": cursor})
            found += page[name]
            cursor = page.get("next_cursor")
            if not cursor:
                return found

    def post(self, path: str, body: Mapping[str, Any], key: str | None = None) -> Any:
        """Send a body and return the JSON of the answer.

        Args:
            key: idempotency key; with it, a call whose connection broke is made again.

        Raises:
            RegendError: what the daemon answered, or that none is running.
        """
        content = json.dumps(body).encode()
        if key is None:
            return self._once("POST", path, content, {})
        return self._repeated("POST", path, content, {"Idempotency-Key": key})

    def delete(self, path: str) -> Any:
        """Delete what is at a path; return the JSON of the answer, None where there is none.

        Raises:
            RegendError: what the daemon answered, or that none is running.
        """
        return self._once("DELETE", path, None, {})

    def upload(self, path: str, file: BinaryIO, name: str, sent: Callable[[int], None]) -> Any:
        """Send a file as the multipart field `file` and return the JSON of the answer.

        Args:
            sent: called with the number of bytes of each piece that went out.

        Raises:
            RegendError: what the daemon answered, or that none is running.
            OSError: the file cannot be read.
        """
        size = os.fstat(file.fileno()).st_size
        boundary = os.urandom(16).hex()
        # The extended form (RFC 5987), because of the plain one servers cut the leading slash off.
        head = (
            "--" + boundary + '\r\nContent-Disposition: form-data; name="file"; '
            f"filename*=UTF-8''{quote(name)}\r\nContent-Type: application/octet-stream\r\n\r\n"
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(head) + size + len(tail)),
        }

        def pieces() -> Iterator[bytes]:
            yield head
            left = size  # a file that grows meanwhile is sent as long as it was
            while left and (piece := file.read(min(left, _PIECE_BYTES))):
                left -= len(piece)
                yield piece
                sent(len(piece))
            yield bytes(left)
            yield tail

        try:
            with self._open("POST", path, headers, pieces()) as exchange:
                return self._answer(exchange)
        except (Unreachable, Dropped) as error:
            raise _lost(error) from error

    def stream(self, path: str, after_seq: int, timeout_s: float) -> Exchange:
        """Open a stream of server-sent events after a position; the caller closes it.

        Raises:
            RegendError: what the daemon answered.
            Unreachable, Dropped: it is away.
        """
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after_seq)}
        exchange = self._open("GET", path, headers, timeout_s=timeout_s)
        if exchange.status not in (200, 204):
            with exchange:
                self._answer(exchange)
        return exchange

    def health(self) -> Any:
        """Return what the daemon says of itself; needs no token.

        Raises:
            RegendError: none is running.
        """
        try:
            with Exchange(self._origin(), "GET", "/health", {}, timeout_s=5.0) as exchange:
                return answer(exchange)
        except (Unreachable, Dropped) as error:
            raise _lost(error) from error

    def announced(self) -> dict[str, Any]:
        """Return what the running daemon wrote about itself: `url`, `pid`, `started_at`, `version`.

        Raises:
            Busy: there is none (`daemon_not_running`).
        """
        try:
            value = json.loads(self.home.daemon_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise not_running() from error
        if not isinstance(value, dict) or not isinstance(value.get("url"), str):
            raise not_running()
        if not is_served(self.home):
            raise not_running()
        return value

    def _origin(self) -> Origin:
        try:
            origin = parse_origin(self.announced()["url"])
        except ValueError as error:
            raise not_running() from error
        if not origin.secure:
            return origin
        from regend.config import load_config  # only a daemon with TLS needs its settings here

        return origin._replace(
            certificate=load_config(self.home.config_file).server.tls_certificate
        )

    def _token(self) -> str:
        file = self.home.token_file
        try:
            token = file.read_text(encoding="ascii", errors="replace").strip()
        except FileNotFoundError as error:
            message = f"The token file {file} is not there."
            raise NotAuthenticated("token_missing", message, hint=_NEW_TOKEN) from error
        except OSError as error:
            raise NotAuthenticated(
                "token_missing",
                f"The token file {file} cannot be read.",
                hint="Run regend as the user who runs the daemon.",
            ) from error
        if not _TOKEN.fullmatch(token):
            message = f"The token file {file} holds no token."
            raise NotAuthenticated("token_damaged", message, hint=_NEW_TOKEN)
        return token

    def _answer(self, exchange: Exchange) -> Any:
        """Return the JSON of an answer to a call that showed the token of the home."""
        try:
            return answer(exchange)
        except NotAuthenticated as error:
            error.message += f" It lies in {self.home.token_file}."
            error.hint = _NEW_TOKEN  # to make one by `regend tokens create` takes one
            raise

    def _open(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: Iterator[bytes] | tuple[bytes, ...] = (),
        timeout_s: float = 180.0,
    ) -> Exchange:
        origin = self._origin()
        proof = {"Authorization": f"Bearer {self._token()}", "Accept": "application/json"}
        return Exchange(origin, method, API + path, {**proof, **headers}, body, timeout_s)

    def _call(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Any:
        declared = dict(headers)
        if body is not None:
            declared |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        with self._open(method, path, declared, (body,) if body else ()) as exchange:
            return self._answer(exchange)

    def _once(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Any:
        try:
            return self._call(method, path, body, headers)
        except (Unreachable, Dropped) as error:
            raise _lost(error) from error

    def _repeated(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Any:
        """Make a call, again while connections break; one that never opened is not waited for."""
        began = False
        for wait_s in (*_RETRY_WAITS_S, None):
            try:
                return self._call(method, path, body, headers)
            except (Unreachable, Dropped) as error:
                began = began or isinstance(error, Dropped)
                if wait_s is None or not began:
                    raise _lost(error) from error
            except RegendError as error:
                if not (began and error.code == NOT_RUNNING_CODE) or wait_s is None:
                    raise
            time.sleep(wait_s)
        raise AssertionError("the last try returns or raises")


def answer(exchange: Exchange) -> Any:
    """Return the JSON of an answer, None where there is none.

    Raises:
        RegendError: what it says went wrong, as the class of its status.
        Dropped: it broke off.
    """
    content = exchange.read()
    try:
        value = json.loads(content) if content else None
    except (ValueError, RecursionError) as error:
        raise Failed(
            "answer_not_understood",
            "What answers at the daemon's address does not speak its language.",
            hint="See which daemon runs: regend doctor",
        ) from error
    if 200 <= exchange.status < 300:
        return value
    body = value.get("error") if isinstance(value, dict) else None
    if not isinstance(body, dict):
        text = f"The daemon answered with HTTP {exchange.status}."
        body = {"code": f"http_{exchange.status}", "message": text}
    raise RegendError.from_dict(body, exchange.status)


def new_key() -> str:
    """Return a fresh idempotency key."""
    return os.urandom(16).hex()


def quote(text: str) -> str:
    """Return the text as one part of a URL (RFC 3986)."""
    # Bytes of an argument that is no UTF-8 travel as they are; the daemon says what is wrong.
    encoded = text.encode(errors="surrogateescape")
    return "".join(chr(byte) if byte in _SAFE_IN_URL else f"%{byte:02X}" for byte in encoded)


def query_text(query: Mapping[str, Any] | None) -> str:
    """Return the parameters that are not None as the query of a URL, with its question mark."""
    given = {name: value for name, value in (query or {}).items() if value is not None}
    if not given:
        return ""
    return "?" + "&".join(f"{name}={quote(str(value))}" for name, value in given.items())


def _lost(error: Unreachable | Dropped) -> RegendError:
    if isinstance(error, Unreachable):
        return not_running("The regend daemon does not answer; it seems to have stopped.")
    return not_running("The daemon went away before it answered.")
