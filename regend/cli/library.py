"""`regend library`: the person's own documents."""

from __future__ import annotations

import sys
from typing import Any

import click

from regend.cli.command import Group, as_json, offered, offered_files
from regend.cli.daemon import Daemon
from regend.cli.table import Cell, Column, print_table, say_more
from regend.cli.terminal import MEASURE, out, out_json, out_prose, paint, room, say
from regend.cli.text import fit, line, size, wrap
from regend.cli.unreadable import rows, say_unreadable
from regend.cli.view import age_of, place_rows, short_ids
from regend.limits import MAX_PAGE_LENGTH

_FIRST_STEP = "The library is empty. Add documents: regend library add ~/Documents"
_KINDS = {
    "text/markdown": "Markdown",
    "text/plain": "text",
    "text/html": "HTML",
    "application/xhtml+xml": "HTML",
    "application/pdf": "PDF",
}
_HIT_LINES = 5  # the rest is told by --json


@click.group(
    cls=Group,
    short_help="Add documents and search them.",
    examples=["regend library add ~/Documents", 'regend library search "notice period"'],
)
def library() -> None:
    """Add documents, see what there is, and search it.

    Research answers from these documents alone, unless it is allowed to look online.
    """


@library.command(
    "add",
    examples=[
        "regend library add contract.pdf notes/",
        "regend library add https://example.org/article",
    ],
)
@click.argument(
    "places", metavar="PATH|URL...", nargs=-1, required=True, shell_complete=offered_files
)
@click.option("--prune", is_flag=True, help="Remove documents whose files a folder has no more.")
@as_json
def add(places: tuple[str, ...], prune: bool, json_output: bool) -> int:
    """Add files, whole folders, or pages from the web.

    Markdown, plain text, HTML and PDF can be read. What cannot be read is listed with the reason,
    and the rest is added; the exit code is then 1. A folder that is added again brings in what is
    new or has changed, and names the documents whose files are gone.
    """
    from regend.cli.importing import Import

    run = Import(Daemon(), quiet=json_output)
    try:
        run.add(places, prune=prune)
    finally:
        run.close()
    if json_output:
        out_json(run.to_dict())
    else:
        run.summarise()
    return 1 if run.unreadable else 0


@library.command("list", examples=["regend library list", "regend library list --unreadable"])
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=50, help="How many at most.")
@click.option("--cursor", help="Go on after a page (next_cursor of --json).")
@click.option("--unreadable", is_flag=True, help="What could not be read, and why.")
@as_json
def list_documents(limit: int, cursor: str | None, unreadable: bool, json_output: bool) -> None:
    """List the documents, newest first."""
    daemon = Daemon()
    if unreadable:
        refused = daemon.get("/library", {"limit": MAX_PAGE_LENGTH})["unreadable"]
        _print_unreadable(refused, json_output)
        return
    answer = daemon.get("/library", {"limit": limit, "cursor": cursor})
    if json_output:
        out_json(answer)
        return
    documents = answer["documents"]
    if documents:
        _print_documents(documents)
    else:
        say(_FIRST_STEP)
    if answer.get("next_cursor"):
        say_more(answer["next_cursor"])
    refused = answer["unreadable"]  # as many as documents were asked for, at most
    say_unreadable(len(refused), or_more=len(refused) == limit)


def _print_documents(documents: list[dict[str, Any]]) -> None:
    heads = (
        Column("id"),
        Column("title", flexible=True),
        Column("kind", optional=True),
        Column("size", right=True),
        Column("passages", right=True, optional=True),
        Column("added", right=True),
    )
    names = short_ids([document["id"] for document in documents])
    rows = [_row(name, document) for name, document in zip(names, documents, strict=True)]
    print_table(heads, rows)


def _print_unreadable(refused: list[dict[str, Any]], json_output: bool) -> None:
    if json_output:
        out_json({"unreadable": refused})
    elif not refused:
        say("Everything that was added could be read.")
    for one in refused if not json_output else ():
        for row in rows(one, room(sys.stdout, MEASURE)):
            out(row)


def _row(name: str, document: dict[str, Any]) -> list[Cell | str]:
    return [
        name,
        document["title"],
        Cell(_KINDS.get(document["media_type"], document["media_type"]), "dim"),
        size(document["size_bytes"]),
        str(document["passages"]),
        Cell(age_of(document["added_at"]), "dim"),
    ]


@library.command(
    "search", examples=['regend library search "notice period"', "regend library search wal -n 3"]
)
@click.argument("words", nargs=-1, required=True)
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=5, help="How many at most.")
@as_json
def search(words: tuple[str, ...], limit: int, json_output: bool) -> None:
    """Search the documents; passages that fit best come first.

    Words in double quotes must be there as a phrase.
    """
    if not " ".join(words).strip():
        raise click.UsageError("Say what to search for.")
    answer = Daemon().get("/library/search", {"q": " ".join(words), "limit": limit})
    if json_output:
        out_json(answer)
        return
    if not answer["hits"]:
        say("Nothing in your library has these words. Add documents: regend library add PATH")
        return
    wide = room(sys.stdout, MEASURE)
    wanted = _stems(" ".join(words))
    for number, hit in enumerate(answer["hits"], 1):
        if number > 1:
            out("")
        _print_hit(number, hit, wanted, wide)


def _print_hit(number: int, hit: dict[str, Any], wanted: set[str], wide: int) -> None:
    mark = f"[{number}] "
    indent = " " * len(mark)
    headings = str(hit.get("heading") or "").split(" › ")  # the first is often the title again
    where = " › ".join(dict.fromkeys(filter(None, (hit["title"], *headings))))
    out(paint(mark, "accent") + paint(fit(line(where), wide - len(mark)), "bold"))
    for row in place_rows(hit["source"], hit["span"], wide - len(mark)):
        out(paint(indent + row, "dim"))
    rows = wrap(line(hit["text"]), wide - len(mark))
    first = _where_it_speaks(rows, wanted)
    if first:
        out(indent + paint("…", "dim"))
    for row in rows[first : first + _HIT_LINES]:
        out(indent + row)
    if len(rows) > first + _HIT_LINES:
        out(indent + paint("…", "dim"))


def _where_it_speaks(rows: list[str], wanted: set[str]) -> int:
    """Return the first row to show, so that most of the words looked for are seen."""
    said = [len(wanted & _stems(" ".join(rows[at : at + 2]))) for at in range(len(rows))]
    best = said.index(max(said, default=0)) if said else 0
    return min(max(0, best - 1), max(0, len(rows) - _HIT_LINES))


def _stems(text: str) -> set[str]:
    from regend.agents.evidence.words import is_stop_word, stem, words  # slow to load

    return {stem(word.text) for word in words(text) if not is_stop_word(word.text)}


@library.command(
    "rm",
    short_help="Remove documents; the files stay where they are.",
    examples=[
        "regend library rm 019ab3f2-7c1d-7000",
        "regend library rm ~/Documents/old",
        "regend library rm https://example.org/article",
    ],
)
@click.argument(
    "named",
    metavar="ID|PATH|URL...",
    nargs=-1,
    required=True,
    shell_complete=offered("/library?limit=1000", "documents", or_file=True),
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask before removing a whole folder's.")
@as_json
def remove(named: tuple[str, ...], yes: bool, json_output: bool) -> int:
    """Remove documents; they are out of every search at once. The files stay where they are.

    A path stands for every document that came from it or from below it, and for what could not be
    read there. A document that lies elsewhere too is only taken away from there. What is at once an
    id and a file is the id; write ./NAME for the file.
    """
    from regend.cli.removal import Removal

    removal = Removal(Daemon())
    removal.find(named)
    if not (yes or json_output or removal.is_agreed()):
        say("Nothing was removed.")
        return 1
    removal.carry_out()
    if json_output:
        documents, refused = removal.documents.values(), removal.unreadable.values()
        left = [{"id": identity, "place": place} for identity, place in removal.left]
        out_json({"removed": list(documents), "left": left, "forgotten": list(refused)})
    else:
        out_prose(removal.sentence())
    return 0
