"""Adding many documents: one at a time, each refusal kept with its reason, the rest goes in."""

from __future__ import annotations

import os
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from regend.cli.daemon import Daemon, quote
from regend.cli.gone import gone_from
from regend.cli.progress import LiveLine
from regend.cli.removal import strike_off, unreadable_sources
from regend.cli.terminal import out_prose, paint, say, say_row
from regend.cli.text import count, line
from regend.cli.unreadable import say_refused
from regend.errors import (
    NOT_RUNNING_CODE,
    BadInput,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    RegendError,
)
from regend.library.folder import Unreadable, find_files, printable

KINDS = "Markdown, plain text, HTML and PDF can be read."
_REFUSED_LINES = 10
_GONE_LINES = 10
_HIDDEN = "hidden"  # passed over on purpose; not a failure


class Import:
    """One run of `library add`.

    Attributes:
        added: documents as the daemon returned them.
        unreadable: what was not taken in, and why.
        gone: documents of the library that came from these folders, and whose files are gone.
    """

    def __init__(self, daemon: Daemon, *, quiet: bool) -> None:
        self.added: list[dict[str, Any]] = []
        self.unreadable: list[Unreadable] = []
        self.gone: list[dict[str, Any]] = []
        self._daemon = daemon
        self._line = LiveLine()
        self._quiet = quiet
        self._hidden = 0
        self._pruned = False
        self._done_bytes = 0
        self._all_bytes = 0

    def add(self, places: tuple[str, ...], *, prune: bool = False) -> None:
        """Add everything that the places name, files in folders too.

        Args:
            prune: remove the documents all of whose files are gone.

        Raises:
            RegendError: the daemon is not there, or may not be asked; what was added stays.
        """
        self._daemon.health()
        urls = [place for place in places if place.startswith(("http://", "https://"))]
        paths = [Path(place) for place in places if place not in urls]
        files = self._files(paths)
        self._all_bytes = sum(length for _file, length in files)
        for file, _length in files:
            self._attempt(printable(file), lambda file=file: self._send(file))
        for url in urls:
            self._line.show(f"◐ {url}", "dim")
            self._attempt(url, lambda url=url: self._daemon.post("/library", {"url": url}))
        self._look_for_gone([path for path in paths if path.is_dir()], prune=prune)
        self.close()

    def close(self) -> None:
        """Take away what moves."""
        self._line.clear()

    def to_dict(self) -> dict[str, Any]:
        """Return what was added and what was not, and what is gone, for `--json`."""
        refused = [
            {"source": one.source, "reason": one.reason, "code": one.code}
            for one in self.unreadable
        ]
        gone = [{**document, "removed": self._pruned} for document in self.gone]
        return {"added": self.added, "unreadable": refused, "gone": gone}

    def summarise(self) -> None:
        """Say what went in and what did not."""
        new = [one for one in self.added if one.get("created", True)]
        passages = sum(int(document.get("passages") or 0) for document in new)
        if new:
            out_prose(f"Added {count(len(new), 'document')}, {count(passages, 'passage')}.")
        if len(new) < len(self.added):
            out_prose(f"{count(len(self.added) - len(new), 'document')} there already.")
        if self._hidden:
            entries = count(self._hidden, "hidden entry", "hidden entries")
            say(paint(f"{entries} passed over.", "dim", sys.stderr))
        if self.unreadable:
            say(f"{count(len(self.unreadable), 'document')} could not be added:")
            say_refused(self.to_dict()["unreadable"], _REFUSED_LINES)
        elif not self.added:
            say("Nothing was added: there is no file. " + KINDS)
        self._summarise_gone()

    def _look_for_gone(self, folders: list[Path], *, prune: bool) -> None:
        """Find the documents whose files the folders have no more, and remove them if told to."""
        self._pruned = prune
        if not folders:
            return
        listed = self._daemon.every("/library", "documents")
        left = gone_from(
            folders, [{**one, "source": place} for one in listed for place in one["places_here"]]
        )
        # A document that is still at another place has lost nothing that can be quoted.
        lost = Counter(one["id"] for one in left)
        alone = [one for one in listed if lost[one["id"]] and not one["elsewhere"]]
        self.gone = [one for one in alone if lost[one["id"]] == len(one["places_here"])]
        if not prune:
            return
        strike_off(self._daemon, gone_from(folders, unreadable_sources(self._daemon)))
        for one in left:
            with suppress(NotFound):  # removed meanwhile by another
                place = quote(one["source"])
                self._daemon.delete(f"/library/{quote(one['id'])}?place={place}")

    def _summarise_gone(self) -> None:
        """Say which documents have lost their files, and what removes them."""
        documents = count(len(self.gone), "document")
        if not self.gone:
            return
        if self._pruned:
            out_prose(f"Removed {documents} whose files are gone.")
            return
        say(f"{documents} came from files that are gone, and can still be quoted:")
        for document in self.gone[:_GONE_LINES]:
            say_row(f"  {line(document['source'])}")
        if len(self.gone) > _GONE_LINES:
            say(f"  … and {len(self.gone) - _GONE_LINES} more: --json lists all")
        say("Remove them by adding the folder with --prune.")

    def _files(self, paths: list[Path]) -> list[tuple[Path, int]]:
        """Return the files with their sizes; what cannot be one is kept as unreadable."""
        found: list[Path | Unreadable] = []
        for path in paths:
            if path.is_dir():
                found += find_files(path)
            else:
                found.append(path)
        files: list[tuple[Path, int]] = []
        for one in found:
            if isinstance(one, Path):
                files += self._measured(one)
            elif one.code == _HIDDEN:
                self._hidden += 1
            else:
                self._refuse(one.source, one.reason, one.code)
        return files

    def _measured(self, file: Path) -> list[tuple[Path, int]]:
        try:
            length = file.stat().st_size
        except OSError as error:
            self._refuse(printable(file), f"{error.strerror or error}.", "file_unreadable")
            return []
        if not file.is_file():
            self._refuse(printable(file), "It is no file that holds a document.", "not_a_file")
            return []
        return [(file, length)]

    def _attempt(self, name: str, add: Any) -> None:
        """Add one; what only this one is refused for is kept, what stops all is raised."""
        try:
            self.added.append(add())
        except (NotAllowed, NotAuthenticated):
            raise
        except RegendError as error:
            if error.code == NOT_RUNNING_CODE:
                self._interrupted()
                raise
            self._refuse(name, error.message, error.code)

    def _interrupted(self) -> None:
        self.close()
        if self.added and not self._quiet:
            say(f"Stopped after {count(len(self.added), 'document')}; these are in the library.")

    def _refuse(self, name: str, reason: str, code: str) -> None:
        self.unreadable.append(Unreadable(name, reason, code))

    def _send(self, file: Path) -> Any:
        absolute = Path(os.path.expanduser(file)).absolute()

        def sent(length: int) -> None:
            self._done_bytes += length
            self._line.bar(self._done_bytes / max(1, self._all_bytes), file.name)

        try:
            with absolute.open("rb") as source:
                return self._daemon.upload("/library", source, printable(absolute), sent)
        except OSError as error:
            raise BadInput("file_unreadable", f"{error.strerror or error}.") from error
