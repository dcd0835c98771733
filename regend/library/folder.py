"""Finding the documents of a folder.

Hidden entries are passed over; so are links to folders, which could lead in circles, and links that
lead out of the folder, which could lead to anything. Each is named with its reason.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from regend.errors import BadInput, NotFound


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What was not taken in, and why.

    Attributes:
        source: its path.
        reason: a sentence for the person.
        code: stable identifier for programs.
    """

    source: str
    reason: str
    code: str


def printable(path: Path) -> str:
    """Return a path as text that can be stored, whatever bytes its names are made of."""
    return os.fsencode(path).decode("utf-8", errors="replace")


def find_files(folder: Path) -> Iterator[Path | Unreadable]:
    """Yield the files below a folder in the order of their names, and what was passed over.

    Raises:
        NotFound: there is no such folder.
        BadInput: it is not a folder.
    """
    if not folder.exists():
        raise NotFound("folder_not_found", f"There is no folder {printable(folder)}.")
    if not folder.is_dir():
        raise BadInput("not_a_folder", f"{printable(folder)} is not a folder.")
    root = folder.resolve()
    waiting = [root]
    while waiting:
        current = waiting.pop()
        try:
            entries = sorted(os.scandir(current), key=lambda entry: entry.name)
        except OSError as error:
            yield _unreadable(current, error)
            continue
        folders = []
        for entry in entries:
            path = Path(entry.path)
            if problem := _passed_over(entry, path, root):
                yield problem
            elif entry.is_dir(follow_symlinks=False):
                folders.append(path)
            else:
                yield path
        waiting.extend(reversed(folders))


def _passed_over(entry: os.DirEntry[str], path: Path, root: Path) -> Unreadable | None:
    """Return why an entry is not looked at, if it is not."""
    if entry.name.startswith("."):
        return Unreadable(printable(path), "It is hidden.", "hidden")
    if entry.is_symlink():
        try:
            target = path.resolve(strict=True)
        except (OSError, RuntimeError):
            return Unreadable(printable(path), "It is a link that leads nowhere.", "link_broken")
        if target.is_dir():
            return Unreadable(printable(path), "It is a link to a folder.", "link_not_followed")
        if not target.is_relative_to(root):
            return Unreadable(printable(path), "It leads out of the folder.", "link_leads_out")
    return None


def _unreadable(path: Path, error: OSError) -> Unreadable:
    return Unreadable(printable(path), f"{error.strerror or error}.", "file_unreadable")
