"""Documents that are on every machine: the READMEs that installed packages carry."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import distributions

_SHORTEST_CHARACTERS = 400


@dataclass(frozen=True)
class Readme:
    """A package's description, as its author wrote it."""

    package: str
    text: str
    media_type: str


def readmes() -> list[Readme]:
    """Return the READMEs of the installed packages, by name; too short ones are left out."""
    found: dict[str, Readme] = {}
    for distribution in distributions():
        # `json` is typed as a plain dict of the metadata's fields, the payload among them.
        fields = distribution.metadata.json
        name, text = fields.get("name"), fields.get("description")
        if not isinstance(name, str) or not isinstance(text, str):
            continue
        if len(text) < _SHORTEST_CHARACTERS or name.lower() == "regend":
            continue
        kind = str(fields.get("description_content_type", "text/markdown"))
        found[name.lower()] = Readme(name, text, kind.partition(";")[0].strip())
    return [found[name] for name in sorted(found)]
