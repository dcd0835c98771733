"""The questions that research is measured by, and the documents that answer them.

Each set of questions was written and committed before any change of ranking that it measures. A
split whose name ends in `final` is kept apart: its failures are never shown, and nothing is tuned
on it.

| file | documents | splits |
|---|---|---|
| `questions` | README texts | `tune`, `final` |
| `questions_extra` | README texts | `extra`, for tuning after a first look at `final` |
| `questions_fresh` | README texts | `fresh`, `fresh-final` |
| `questions_more`, `questions_household_more` | the same | `more`, `home-more`, for tuning |
| `questions_household` | `household/` | `home`, `home-final` |
| `questions_alike` | `alike/`, where one thing is easily taken for another | `alike`, for tuning |

A row has `question`; `document`, the one that answers, or null where none does; `fact`, accepted
texts as regular expressions; for a question of two parts `also`, those of the second part, or
`missing`, what the answer must say that it did not find.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from regend.library.passages import HEADING_SEPARATOR, split

SPLITS = {
    "tune": ("questions", "readmes"),
    "final": ("questions", "readmes"),
    "extra": ("questions_extra", "readmes"),
    "fresh": ("questions_fresh", "readmes"),
    "fresh-final": ("questions_fresh", "readmes"),
    "more": ("questions_more", "readmes"),
    "home-more": ("questions_household_more", "household"),
    "home": ("questions_household", "household"),
    "home-final": ("questions_household", "household"),
    "alike": ("questions_alike", "alike"),
}
"""Of each split its file and its documents."""

_FOLDER = Path(__file__).parent
_MIN_README_CHARACTERS = 100


def questions(split_name: str) -> list[dict[str, Any]]:
    """Return the questions of a split."""
    file = _FOLDER / f"{SPLITS[split_name][0]}.jsonl"
    rows = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    return [row for row in rows if row["split"] == split_name]


def documents(corpus: str) -> dict[str, str]:
    """Return the texts of `readmes`, `household` or `alike` by name."""
    return readmes() if corpus == "readmes" else papers(corpus)


def readmes() -> dict[str, str]:
    """Return the README text of every installed package that has one, by package name."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        fields = distribution.metadata.json
        text = str(fields.get("description") or "")
        if name != "regend" and len(text) >= _MIN_README_CHARACTERS:
            found[name] = text.replace("\r\n", "\n")
    return dict(sorted(found.items()))


def papers(folder: str) -> dict[str, str]:
    """Return the papers of a family that does not exist, by name, in English, Hindi and Tamil."""
    files = sorted((_FOLDER / folder).iterdir())
    return {file.stem: file.read_text(encoding="utf-8") for file in files}


def title(text: str, name: str) -> str:
    """Return the title that the importer gives: the heading a text begins with, or the name."""
    first = split(text[:10_000])[:1]
    own = first[0].heading.partition(HEADING_SEPARATOR)[0] if first else ""
    return own or name


def states(text: str, accepted: Sequence[str]) -> bool:
    """Tell whether one of the accepted texts (regular expressions) is in a text."""
    plain = " ".join(re.sub(r"\\([^\w\s])", r"\1", text).replace("\n>", "\n").split())
    return any(re.search(one, plain, re.IGNORECASE) for one in accepted)
