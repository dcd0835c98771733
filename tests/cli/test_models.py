"""Models from the command line: brought here with a bar, listed, removed; refused with a reason."""

from __future__ import annotations

import hashlib
import http.server
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from regend.limits import MODEL_SMALL_CONTEXT_TOKENS
from tests.cli.conftest import Desk, wait_until
from tests.cli.test_terminal import _seen
from tests.models.gguf_files import write_gguf


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = write_gguf(tmp_path_factory.mktemp("models") / "small one.gguf")
    file.write_bytes(file.read_bytes() + os.urandom(2_000_000))
    return file


def here(desk: Desk) -> set[str]:
    return {one["name"] for one in desk.json("models", "list")["models"] if one["installed"]}


def test_the_context_in_the_list_is_the_one_that_a_job_gets(desk: Desk) -> None:
    listed = desk.json("models", "list")["models"]
    (small,) = (one for one in listed if one["name"] == "smollm2-135m")
    assert small["context_tokens"] == MODEL_SMALL_CONTEXT_TOKENS


def test_a_file_is_taken_by_its_relative_path_listed_and_removed(desk: Desk, gguf: Path) -> None:
    done = desk.run("models", "pull", f"./{gguf.name}", cwd=gguf.parent)
    assert done.returncode == 0, done.stderr
    assert "is here" in done.stdout
    assert "small-one" in here(desk)
    row = next(row for row in desk.run("models", "list").stdout.splitlines() if "small-one" in row)
    assert "● yes" in row and "2.0 MB" in row
    known = next(row for row in desk.run("status").stdout.splitlines() if "models" in row)
    assert "small-one" in known and "loaded when needed" in known
    removed = desk.run("models", "rm", "small-one")
    assert removed.returncode == 0 and "regend models pull" in removed.stdout
    assert "small-one" not in here(desk)
    assert gguf.exists()


@pytest.mark.parametrize(
    ("content", "said"), [(b"<html>Sign in</html>", "GGUF"), (b"GGUF" + b"\xff" * 100, "GGUF")]
)
def test_a_broken_file_fails_with_the_reason_and_leaves_nothing(
    desk: Desk, tmp_path: Path, content: bytes, said: str
) -> None:
    file = tmp_path / "broken.gguf"
    file.write_bytes(content)
    done = desk.run("models", "pull", str(file))
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr and "Traceback" not in done.stderr
    assert not list((desk.home / "models").glob("*broken*"))


def test_a_name_that_nobody_knows_is_told_the_near_one(desk: Desk) -> None:
    done = desk.run("models", "pull", "smolm2-135")
    assert done.returncode in (1, 4)
    assert "smollm2-135m" in done.stderr


def test_a_pull_draws_a_bar_and_takes_it_away(desk: Desk, gguf: Path) -> None:
    seen, code = _seen(desk, "models", "pull", str(gguf))
    assert code == 0
    assert "━" in seen and "%" in seen
    assert "is here" in seen.rsplit("\x1b[2K", 1)[1]
    desk.run("models", "rm", "small-one")


@pytest.fixture
def slow_address(gguf: Path) -> Iterator[tuple[str, threading.Event]]:
    """An address that serves half of the file, and the rest once it is told to."""
    content, go_on = gguf.read_bytes(), threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            half = len(content) // 2
            self.wfile.write(content[:half])
            go_on.wait(60)
            self.wfile.write(content[half:])

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    digest = hashlib.sha256(content).hexdigest()
    yield f"http://127.0.0.1:{server.server_port}/slow.gguf#sha256={digest}", go_on
    go_on.set()
    server.shutdown()
    serving.join()
    server.server_close()


def test_ctrl_c_stops_watching_and_not_the_download(
    desk: Desk, slow_address: tuple[str, threading.Event]
) -> None:
    address, go_on = slow_address
    with desk.open("models", "pull", address) as process:
        wait_until(
            lambda: bool(list((desk.home / "models").glob(".part-slow-*"))), "half of it came"
        )
        process.send_signal(signal.SIGINT)
        _out, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Detached" in said and "regend jobs cancel" in said
    go_on.set()
    wait_until(lambda: "slow" in here(desk), "the rest came")
    assert desk.run("models", "rm", "slow").returncode == 0
