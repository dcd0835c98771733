"""Adding many documents: one at a time, each refusal kept with its reason, the rest goes in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from regend.cli.daemon import Daemon
from regend.cli.progress import LiveLine
from regend.cli.terminal import out, paint, say
from regend.cli.text import count
from regend.cli.unreadable import say_refused
from regend.errors import (
    NOT_RUNNING_CODE,
    BadInput,
    NotAllowed,
    NotAuthenticated,
    RegendError,
)
from regend.library.folder import Unreadable, find_files, printable

KINDS = "Markdown, plain text, HTML and PDF can be read."
_REFUSED_LINES = 10
_HIDDEN = "hidden"  # passed over on purpose; not a failure


class Import:
    """One run of `library add`.

    Attributes:
        added: documents as the daemon returned them.
        unreadable: what was not taken in, and why.
    """

    def __init__(self, daemon: Daemon, *, quiet: bool) -> None:
        self.added: list[dict[str, Any]] = []
        self.unreadable: list[Unreadable] = []
        self._daemon = daemon
        self._line = LiveLine()
        self._quiet = quiet
        self._hidden = 0
        self._done_bytes = 0
        self._all_bytes = 0

    def add(self, places: tuple[str, ...]) -> None:
        """Add everything that the places name, files in folders too.

        Raises:
            RegendError: the daemon is not there, or may not be asked; what was added stays.
        """
        self._daemon.health()
        urls = [place for place in places if place.startswith(("http://", "https://"))]
        files = self._files([Path(place) for place in places if place not in urls])
        self._all_bytes = sum(length for _file, length in files)
        for file, _length in files:
            self._attempt(printable(file), lambda file=file: self._send(file))
        for url in urls:
            self._line.show(f"◐ {url}", "dim")
            self._attempt(url, lambda url=url: self._daemon.post("/library", {"url": url}))
        self.close()

    def close(self) -> None:
        """Take away what moves."""
        self._line.clear()

    def to_dict(self) -> dict[str, Any]:
        """Return what was added and what was not, for `--json`."""
        refused = [
            {"source": one.source, "reason": one.reason, "code": one.code}
            for one in self.unreadable
        ]
        return {"added": self.added, "unreadable": refused}

    def summarise(self) -> None:
        """Say what went in and what did not."""
        new = [one for one in self.added if one.get("created", True)]
        passages = sum(int(document.get("passages") or 0) for document in new)
        if new:
            out(f"Added {count(len(new), 'document')}, {count(passages, 'passage')}.")
        if len(new) < len(self.added):
            out(f"{count(len(self.added) - len(new), 'document')} there already.")
        if self._hidden:
            entries = count(self._hidden, "hidden entry", "hidden entries")
            say(paint(f"{entries} passed over.", "dim"))
        if self.unreadable:
            say(f"{count(len(self.unreadable), 'file')} could not be added:")
            say_refused(self.to_dict()["unreadable"], _REFUSED_LINES)
        elif not self.added:
            say("Nothing was added: there is no file. " + KINDS)

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
        absolute = file.expanduser().absolute()

        def sent(length: int) -> None:
            self._done_bytes += length
            self._line.bar(self._done_bytes / max(1, self._all_bytes), file.name)

        try:
            with absolute.open("rb") as source:
                return self._daemon.upload("/library", source, printable(absolute), sent)
        except OSError as error:
            raise BadInput("file_unreadable", f"{error.strerror or error}.") from error
