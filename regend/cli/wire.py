"""One HTTP/1.1 exchange with the daemon, over a socket.

The standard library's client costs more to import (its mail parser, TLS) than a short command may
take altogether; one request to one server that we know needs little of it. One connection to an
exchange, no redirects, no proxies: what is spoken to is this machine's daemon.

Source: RFC 9110, RFC 9112.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

_CONNECT_TIMEOUT_S = 5.0
_LINE_BYTES = 64 * 1024
_HEADER_LINES = 200
_PIECE_BYTES = 64 * 1024


class Unreachable(ConnectionError):
    """Nobody listens at the address; nothing was sent."""


class Dropped(ConnectionError):
    """The connection ended before the answer did; whether the request was acted on is unknown."""


class Origin(NamedTuple):
    """Where a daemon listens.

    Attributes:
        certificate: file with the certificate that it must show, for https.
    """

    secure: bool
    host: str
    port: int
    certificate: str = ""

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_origin(url: str) -> Origin:
    """Return the origin that a URL without path names.

    Raises:
        ValueError: it is no http(s) URL with a port.
    """
    scheme, separator, rest = url.partition("://")
    if scheme not in ("http", "https") or not separator:
        raise ValueError(url)
    host, _, port = rest.rstrip("/").rpartition(":")
    return Origin(scheme == "https", host.strip("[]"), int(port))


class Exchange:
    """A request that was sent, and the answer as it comes in. A context manager.

    Attributes:
        status: HTTP status.
        headers: of the answer, names in lower case.
    """

    def __init__(
        self,
        origin: Origin,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Iterable[bytes] = (),
        timeout_s: float = 120.0,
    ) -> None:
        """Send a request and read the head of the answer.

        Args:
            target: path and query, encoded.
            headers: with Content-Length where there is a body.
            body: pieces of it.
            timeout_s: longest silence.

        Raises:
            Unreachable: nobody listens.
            Dropped: the connection broke.
        """
        self._socket = _connect(origin)
        self._file = self._socket.makefile("rb")
        try:
            self._socket.settimeout(timeout_s)
            self._send(origin, method, target, headers, body)
            self.status, self.headers = self._head()
        except OSError as error:
            self.close()
            raise Dropped(str(error)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._file.close()
        self._socket.close()

    def pieces(self) -> Iterator[bytes]:
        """Yield the body as it comes in.

        Raises:
            Dropped: it ended too early.
        """
        try:
            if self.status in (204, 304):
                return
            if self.headers.get("transfer-encoding", "").lower() == "chunked":
                yield from self._chunks()
            elif "content-length" in self.headers:
                yield from self._counted(int(self.headers["content-length"]))
            else:
                while piece := self._file.read1(_PIECE_BYTES):
                    yield piece
        except (OSError, ValueError) as error:
            raise Dropped(str(error)) from error

    def read(self) -> bytes:
        """Return the whole body.

        Raises:
            Dropped: it ended too early.
        """
        return b"".join(self.pieces())

    def lines(self) -> Iterator[bytes]:
        """Yield the body's lines without their ends, each as soon as it is whole.

        Raises:
            Dropped: the connection broke.
        """
        rest = b""
        for piece in self.pieces():
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                yield line.removesuffix(b"\r")

    def _send(
        self,
        origin: Origin,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Iterable[bytes],
    ) -> None:
        head = [f"{method} {target} HTTP/1.1", f"Host: {origin.authority}", "Connection: close"]
        head += [f"{name}: {value}" for name, value in headers.items()]
        try:
            self._socket.sendall("\r\n".join([*head, "", ""]).encode("latin-1"))
            for piece in body:
                self._socket.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused in the middle of an upload: the answer that says why may still be there

    def _head(self) -> tuple[int, dict[str, str]]:
        status = 100
        headers: dict[str, str] = {}
        while status < 200:  # interim answers come before the real one
            parts = self._line().split(b" ", 2)
            if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not parts[1].isdigit():
                raise Dropped("no HTTP answer")
            status, headers = int(parts[1]), self._fields()
        return status, headers

    def _fields(self) -> dict[str, str]:
        fields: dict[str, str] = {}
        for _ in range(_HEADER_LINES):
            line = self._line()
            if not line:
                return fields
            name, _, value = line.decode("latin-1").partition(":")
            fields[name.lower()] = value.strip()
        raise Dropped("too many header lines")

    def _line(self) -> bytes:
        line = self._file.readline(_LINE_BYTES)
        if not line.endswith(b"\n"):
            raise Dropped("the answer broke off")
        return line.rstrip(b"\r\n")

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._line().split(b";")[0], 16):
            yield from self._counted(size)
            self._line()
        self._fields()

    def _counted(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self._file.read1(min(size, _PIECE_BYTES))
            if not piece:
                raise Dropped("the answer broke off")
            size -= len(piece)
            yield piece


def _connect(origin: Origin) -> socket.socket:
    try:
        # As bytes: a text would be put through IDNA, whose tables take longer than the exchange.
        host: Any = origin.host.encode("ascii") if origin.host.isascii() else origin.host
        connection = socket.create_connection((host, origin.port), _CONNECT_TIMEOUT_S)
    except OSError as error:
        raise Unreachable(str(error)) from error
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not origin.secure:
        return connection
    import ssl  # only for a daemon that listens beyond this machine

    context = ssl.create_default_context(cafile=origin.certificate or None)
    # The certificate itself is what is trusted; it need not name the loopback address.
    context.check_hostname = not origin.certificate
    try:
        secured: Any = context.wrap_socket(connection, server_hostname=origin.host)
    except OSError as error:
        connection.close()
        raise Unreachable(str(error)) from error
    result: socket.socket = secured
    return result
