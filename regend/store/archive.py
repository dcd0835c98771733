"""The form of a backup: a folder or a tar file, and a manifest that names every file's digest.

Layout: `manifest.json`, `regend.db`, `blobs/xx/DIGEST`, and with keys `config.toml`, `token`,
`keys/NAME`. A backup may come from anywhere, so a file of any other name is refused: beside a
database, SQLite would take a log of its own for the truth and delete what it names. Nothing but
plain files is taken out of a tar file, which is not compressed: what comes out takes no more room
than what went in.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final

from regend.errors import BadInput, RegendError
from regend.jsontext import loads
from regend.limits import MAX_INTEGER, MIB
from regend.store.files import private

FORMAT = 1
MANIFEST = "manifest.json"
DATABASE = "regend.db"

_SECRETS = ("config.toml", "token")
_TOO_MANY_FILES = 10_000_000
_MANIFEST_BYTES = 512 * MIB  # of three million payloads, each 170 bytes
_PLAIN: Final = "r:"
_NO_TAR = (tarfile.TarError, EOFError, ValueError)  # the last for the numbers in its headers

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Summary:
    """What a backup holds.

    Attributes:
        path: where it lies.
        created_at: RFC 3339.
        files: how many.
        size_bytes: of all files together.
        with_keys: whether settings, keys and the owner's token are in it.
        set_aside: where a restore put what was there before; None for a backup.
    """

    path: Path
    created_at: str
    files: int
    size_bytes: int
    with_keys: bool
    set_aside: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as a JSON object."""
        return {
            "path": str(self.path),
            "created_at": self.created_at,
            "files": self.files,
            "size_bytes": self.size_bytes,
            "with_keys": self.with_keys,
            "set_aside": None if self.set_aside is None else str(self.set_aside),
        }


def pack(folder: Path, target: Path) -> None:
    """Write a folder into a new tar file, the manifest first.

    Raises:
        OSError: it cannot be written, or is there already.
    """
    with open(target, "xb", opener=private) as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
            archive.add(folder / MANIFEST, MANIFEST)
            for path in sorted(folder.rglob("*")):
                if path.is_file() and path.name != MANIFEST:
                    archive.add(path, path.relative_to(folder).as_posix())
        file.flush()
        os.fsync(file.fileno())


def check_form(source: Path) -> None:
    """Refuse what cannot be a backup by its names and its manifest: nothing is unpacked.

    Raises:
        BadInput: it is neither a folder with a manifest nor a tar file with one, or a newer
            program wrote it.
    """
    if source.is_dir():
        read_manifest(source, source)
        return
    if not source.is_file():  # a pipe that nobody writes to has no end, and none can be read twice
        raise _no_backup(source, "it is neither a file nor a folder")
    try:
        with tarfile.open(source, _PLAIN) as archive:
            names = {_name_of(member, source): member for member in archive}
            content = archive.extractfile(names[MANIFEST]) if MANIFEST in names else None
            if content is None:
                raise _no_backup(source, f"it has no {MANIFEST}")
            with content:
                _checked(content, source)
    except _NO_TAR as error:
        raise _no_backup(source, "it is no tar file, or a compressed or damaged one") from error


def unpacked(source: Path, work: Path) -> Path:
    """Return a folder with the backup's files, unpacked into `work` where it is a tar file.

    Raises:
        BadInput: it is no tar file, or one that a backup cannot be.
    """
    if source.is_dir():
        return source
    folder = work / "unpacked"
    folder.mkdir()
    try:
        with tarfile.open(source, _PLAIN) as archive:
            for count, member in enumerate(archive, 1):
                path = folder / _name_of(member, source)
                if count > _TOO_MANY_FILES or path.exists():
                    raise _no_backup(source, f"it holds “{member.name[:80]}” twice")
                content = archive.extractfile(member)
                assert content is not None
                path.parent.mkdir(parents=True, exist_ok=True)
                with content, path.open("xb") as file:
                    shutil.copyfileobj(content, file, MIB)
    except _NO_TAR as error:
        raise _no_backup(source, "the tar file is damaged") from error
    return folder


def read_manifest(folder: Path, source: Path) -> dict[str, Any]:
    """Return the checked manifest of a backup's folder.

    Args:
        source: what the person named, for the message.

    Raises:
        BadInput: there is none, it does not fit, or a newer program wrote it.
    """
    if not (folder / MANIFEST).is_file():
        raise _no_backup(source, f"it has no {MANIFEST}")
    with (folder / MANIFEST).open("rb") as file:
        return _checked(file, source)


def _checked(file: IO[bytes], source: Path) -> dict[str, Any]:
    """Return a manifest of which everything was looked at."""
    content = file.read(_MANIFEST_BYTES + 1)
    if len(content) > _MANIFEST_BYTES:
        raise _no_backup(source, "its manifest is too large")
    try:
        manifest = loads(content)
    except RegendError as error:
        raise _no_backup(source, "its manifest cannot be read") from error
    form = manifest.get("format") if isinstance(manifest, dict) else None
    if type(form) is int and form > FORMAT:
        raise BadInput(
            "backup_newer", "This backup was made by a newer regend.", hint="Upgrade regend."
        )
    if form != FORMAT or type(form) is not int:
        raise _no_backup(source, "its manifest does not fit")
    if not _is_moment(manifest.get("created_at")) or type(manifest.get("with_keys")) is not bool:
        raise _no_backup(source, "its manifest does not say when it was made and what of")
    files = manifest.get("files")
    if not isinstance(files, dict) or DATABASE not in files or MANIFEST in files:
        raise _no_backup(source, f"its manifest does not list {DATABASE}")
    for name, entry in files.items():
        if not is_ours(name) or not _is_entry(name, entry):
            raise _no_backup(source, f"its manifest does not fit at “{name[:80]}”")
    whole: dict[str, Any] = manifest
    return whole


def _name_of(member: tarfile.TarInfo, source: Path) -> str:
    """Return the name of a file of a tar file, if it may be in a backup."""
    if not member.isfile() or member.issparse() or not is_ours(member.name):
        raise _no_backup(source, f"it holds “{member.name[:80]}”")
    return member.name


def is_ours(name: str) -> bool:
    """Tell whether a file of this name is in backups; no such name leads out of their folder."""
    if name in (MANIFEST, DATABASE, *_SECRETS):
        return True
    folder, *rest = name.split("/")
    if folder == "blobs" and len(rest) == 2:
        return is_digest(rest[1]) and rest[0] == rest[1][:2]
    return folder == "keys" and len(rest) == 1 and _is_plain(rest[0])


def _is_plain(name: str) -> bool:
    """Tell whether this names a file in a folder, on Windows too."""
    return name.isprintable() and name not in ("", ".", "..") and not {*":\\"} & {*name}


def _is_entry(name: str, entry: Any) -> bool:
    """Tell whether this is what a manifest says of a file; a blob has the digest that names it."""
    if not isinstance(entry, dict):
        return False
    digest, size_bytes = entry.get("sha256"), entry.get("size_bytes")
    fits = not name.startswith("blobs/") or name.endswith(f"/{digest}")
    sized = type(size_bytes) is int and 0 <= size_bytes <= MAX_INTEGER
    return fits and sized and is_digest(digest)


def _is_moment(text: Any) -> bool:
    """Tell whether this is a moment in RFC 3339."""
    try:
        return isinstance(text, str) and datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def copy_file(source: Path, target: Path) -> dict[str, Any]:
    """Copy a file durably and privately; return its digest and size as the manifest has them.

    Raises:
        OSError: the source cannot be read, or the target written or is there already.
    """
    digest = hashlib.sha256()
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with source.open("rb") as reader, open(target, "xb", opener=private) as writer:
        while piece := reader.read(MIB):
            digest.update(piece)
            writer.write(piece)
        writer.flush()
        os.fsync(writer.fileno())
        size_bytes = writer.tell()
    return {"sha256": digest.hexdigest(), "size_bytes": size_bytes}


def entry_of(path: Path) -> dict[str, Any]:
    """Return the digest and size of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"sha256": digest, "size_bytes": path.stat().st_size}


def is_digest(text: Any) -> bool:
    """Tell whether this is a SHA-256 in hex."""
    return isinstance(text, str) and len(text) == 64 and set(text) <= set("0123456789abcdef")


def summary(path: Path, manifest: dict[str, Any], aside: Path | None = None) -> Summary:
    """Return what a manifest says, in short."""
    files = manifest["files"]
    total = sum(entry["size_bytes"] for entry in files.values())
    return Summary(
        path, manifest["created_at"], len(files), total, bool(manifest["with_keys"]), aside
    )


def _no_backup(path: Path, why: str) -> BadInput:
    return BadInput(
        "not_a_backup",
        f"{path} is no backup of regend: {why}.",
        hint="Name a folder or .tar file that regend backup made, or a copy of regend.db.",
    )
