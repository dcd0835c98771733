"""What `library rm` takes away: documents by their id, or by where they came from.

What could not be read is on record by where it lies; it is struck off together with what lies
beside it.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from regend.cli.daemon import Daemon, quote
from regend.cli.prefixes import whole_id
from regend.cli.text import count, line
from regend.errors import NotFound
from regend.library.folder import printable
from regend.limits import MAX_PAGE_LENGTH

_LISTING = "regend library list"


@dataclass
class Removal:
    """One run of `library rm`.

    Attributes:
        documents: what is removed, by id.
        left: places from which a document is taken that stays at others: its id, and the place.
        unreadable: what is struck off the record of what could not be read, by source.
        by_place: whether something was named by a place, which may mean more than one thinks.
    """

    daemon: Daemon
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    left: list[tuple[str, str]] = field(default_factory=list)
    unreadable: dict[str, dict[str, Any]] = field(default_factory=dict)
    by_place: bool = False

    def find(self, named: tuple[str, ...]) -> None:
        """Find what is named: by the beginning of an id, else by a path, a folder or an address.

        Raises:
            NotFound: nothing is named so.
            Conflict: several ids begin so.
        """
        known = {one["id"]: one for one in self.daemon.every("/library", "documents")}
        refused = unreadable_sources(self.daemon)
        for name in named:
            if not any(identity.startswith(name) for identity in known) and name:
                found = {
                    one["id"]: here
                    for one in known.values()
                    if (here := [place for place in one["places"] if _came_from(place, name)])
                }
                lost = [one for one in refused if _came_from(one["source"], name)]
                if found or lost:
                    self.by_place = True
                    for identity, here in found.items():
                        self._take_away(known[identity], here)
                    self.unreadable |= {one["source"]: one for one in lost}
                    continue
            identity = whole_id(list(known.values()), name, "document", _LISTING)
            self.documents[identity] = known[identity]

    def _take_away(self, document: dict[str, Any], named: list[str]) -> None:
        """Remove a document if it is named at all of its places, else take it from these."""
        away = {place for identity, place in self.left if identity == document["id"]} | set(named)
        self.left = [one for one in self.left if one[0] != document["id"]]
        if away >= set(document["places"]):
            self.documents[document["id"]] = document
        elif document["id"] not in self.documents:
            self.left += [(document["id"], place) for place in document["places"] if place in away]

    def is_agreed(self) -> bool:
        """Ask the person, where one is there and a place stands for several documents."""
        many = len(self.documents) + len(self.left)
        if not self.by_place or many < 2 or not sys.stdin.isatty():
            return True
        return click.confirm(f"Remove {count(many, 'document')}?", err=True)

    def carry_out(self) -> None:
        """Remove all of it; what was removed meanwhile by another is no failure."""
        for identity in self.documents:
            with suppress(NotFound):
                self.daemon.delete(f"/library/{quote(identity)}")
        for identity, place in self.left:
            with suppress(NotFound):
                self.daemon.delete(f"/library/{quote(identity)}?place={quote(place)}")
        strike_off(self.daemon, list(self.unreadable.values()))

    def sentence(self) -> str:
        """Return what was done."""
        done = []
        if self.documents:
            only = [line(one["source"]) for one in self.documents.values()]
            which = f": {only[0]}" if len(only) == 1 and self.by_place else "."
            done.append(f"Removed {count(len(only), 'document')}{which}")
        for _, place in self.left:
            done.append(f"Took {line(place)} away; the same document stays where else it lies.")
        if self.unreadable:
            entries = count(len(self.unreadable), "document")
            done.append(f"Forgot {entries} that could not be read.")
        return "\n".join(done)


def unreadable_sources(daemon: Daemon) -> list[dict[str, Any]]:
    """Return everything on the record of what could not be read."""
    listed: list[dict[str, Any]] = daemon.get("/library", {"limit": MAX_PAGE_LENGTH})["unreadable"]
    return listed


def strike_off(daemon: Daemon, refused: list[dict[str, Any]]) -> None:
    """Strike entries off the record of what could not be read."""
    for one in refused:
        with suppress(NotFound):
            daemon.delete(f"/library/unreadable?source={quote(one['source'])}")


def _came_from(source: str, name: str) -> bool:
    """Tell whether a source is what is named: itself, or at or below a path."""
    if source == name or "://" in name or "://" in source:
        return source == name
    path = Path(os.path.expanduser(name))
    roots = {printable(Path(os.path.abspath(path))), printable(Path(os.path.realpath(path)))}
    place = Path(os.path.normpath(source))
    return any(place.is_relative_to(root) for root in roots)
