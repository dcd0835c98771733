"""The HTTP of the commands against a server that breaks off, dawdles and lies."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from regend.cli.daemon import Daemon, quote
from regend.cli.stream import events
from regend.cli.wire import Dropped, Exchange, Origin, Unreachable, parse_origin
from regend.errors import Busy, Failed, NotFound
from regend.home import Home
from regend.store.lock import HomeLock


class Server:
    """Answers one connection after the other with what it is told to, whatever is asked."""

    def __init__(self, answers: list[bytes]) -> None:
        self.requests: list[bytes] = []
        self._answers = answers
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)

    def _serve(self) -> None:
        for answer in self._answers:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self.requests.append(_read_request(connection))
                connection.sendall(answer)


def _read_request(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        if not piece:
            return received
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            while len(body) < int(line.split(b":")[1]):
                body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., tuple[Server, Daemon]]]:
    servers: list[Server] = []
    lock = HomeLock(Home.at(tmp_path).lock_file)

    def start(*answers: bytes) -> tuple[Server, Daemon]:
        server = Server(list(answers))
        servers.append(server)
        home = Home.at(tmp_path)
        home.daemon_file.write_text(json.dumps({"url": f"http://127.0.0.1:{server.port}"}))
        home.token_file.write_text("token")
        return server, Daemon(home)

    yield start
    lock.release()
    for server in servers:
        server.close()


def _ok(body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join([*lines, b"", body])


_JOB = b'{"id": "j", "finished_at": "x", "last_seq": 3}'


def test_an_answer_by_length_in_chunks_or_until_the_end_is_read_whole(
    serve: Callable[..., tuple[Server, Daemon]],
) -> None:
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5;x=y\r\n[1, 2\r\n3\r\n, 3\r\n1\r\n]\r\n0\r\nTrailer: t\r\n\r\n"
    )
    _server, daemon = serve(
        _ok(b"[1]"),
        chunked,
        b"HTTP/1.1 200 OK\r\n\r\n[9]",
        b"HTTP/1.1 100 Continue\r\n\r\n" + _ok(b"2"),
    )
    assert [daemon.get("/x") for _ in range(4)] == [[1], [1, 2, 3], [9], 2]


def test_a_keyed_call_that_broke_is_made_again_under_the_same_key(
    serve: Callable[..., tuple[Server, Daemon]],
) -> None:
    server, daemon = serve(b"", b"HTTP/1.1 202 Acc", _ok(b'{"id": "j"}'))
    assert daemon.post("/jobs", {"type": "nap"}, key="one") == {"id": "j"}
    assert len(server.requests) == 3
    assert all(b"Idempotency-Key: one\r\n" in request for request in server.requests)
    assert len({request.partition(b"\r\n\r\n")[2] for request in server.requests}) == 1


def test_a_call_without_a_key_is_made_once(serve: Callable[..., tuple[Server, Daemon]]) -> None:
    server, daemon = serve(b"", _ok(b"{}"))
    with pytest.raises(Busy, match="before it answered"):
        daemon.post("/jobs", {})
    assert len(server.requests) == 1


def test_what_does_not_speak_http_or_json_is_told_apart_from_a_daemon(
    serve: Callable[..., tuple[Server, Daemon]],
) -> None:
    _server, daemon = serve(_ok(b"<html>"), _ok(b"[" * 100_000))
    for _ in range(2):
        with pytest.raises(Failed, match="language"):
            daemon.get("/x")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 two\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 300,
        b"HTTP/1.1 200 OK\r\n" + b"x" * 100_000,
    ],
)
def test_an_answer_that_breaks_off_is_no_answer(
    serve: Callable[..., tuple[Server, Daemon]], answer: bytes
) -> None:
    server, _daemon = serve(answer)
    with (
        pytest.raises(Dropped),
        Exchange(Origin(False, "127.0.0.1", server.port), "GET", "/", {}) as it,
    ):
        it.read()


def test_a_port_where_nobody_listens_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Unreachable):
        Exchange(Origin(False, "127.0.0.1", port), "GET", "/", {})


def test_an_error_of_another_shape_is_still_an_error(
    serve: Callable[..., tuple[Server, Daemon]],
) -> None:
    _server, daemon = serve(b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\n[]")
    with pytest.raises(NotFound, match="404"):
        daemon.get("/x")


def test_a_stream_drops_duplicates_and_resumes_after_the_last_event(
    serve: Callable[..., tuple[Server, Daemon]],
) -> None:
    def record(seq: int, kind: str = "job:step:v1") -> bytes:
        data = json.dumps({"seq": seq, "type": kind, "data": {}}).encode()
        return b"id: %d\nevent: x\ndata: %s\n\n" % (seq, data)

    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    server, daemon = serve(
        head + b": still here\n\n" + record(1) + record(1) + b"data: [1]\n\nid: 2\nda",
        head + record(1) + record(2) + record(3, "job:completed:v1"),
        _ok(_JOB),
    )
    assert [event["seq"] for event in events(daemon, "j")] == [1, 2, 3]
    assert b"Last-Event-ID: 0\r\n" in server.requests[0]
    assert b"Last-Event-ID: 1\r\n" in server.requests[1]


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://127.0.0.1:7867", Origin(False, "127.0.0.1", 7867)),
        ("https://[::1]:80/", Origin(True, "::1", 80)),
    ],
)
def test_an_address_is_taken_apart(url: str, origin: Origin) -> None:
    assert parse_origin(url) == origin


@pytest.mark.parametrize("url", ["", "127.0.0.1:1", "ftp://a:1", "http://a", "http://a:b"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        parse_origin(url)


def test_a_part_of_a_url_cannot_leave_its_place() -> None:
    assert quote("../a b/ü?#%\n") == "..%2Fa%20b%2F%C3%BC%3F%23%25%0A"
