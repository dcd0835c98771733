"""JSON that survives every place it passes: SQLite, msgpack, browsers.

Python's parser accepts what others cannot carry (NaN, infinities, numbers beyond 64 bits, lone
surrogates). Here those are refused with the path where they stand, instead of being lost later.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any, NoReturn

from regend.errors import BadInput
from regend.limits import MAX_INTEGER, MAX_JSON_DEPTH

# Made once: `json.dumps` makes one for every call that asks for anything but its defaults.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_CANONICAL = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), allow_nan=False, sort_keys=True
)


def dumps(value: Any) -> str:
    """Return compact JSON text, Unicode kept readable.

    Raises:
        BadInput: the value holds what JSON cannot carry.
    """
    try:
        text = _ENCODER.encode(value)
        text.encode()
    except UnicodeEncodeError as error:
        raise _refusal("a lone surrogate, which is no character", None) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise _refusal(f"a value that JSON cannot carry ({error})", None) from error
    return text


def canonical(value: Any) -> bytes:
    """Return the one byte sequence that stands for this value: sorted keys, no spaces, UTF-8.

    Raises:
        BadInput: the value holds what JSON cannot carry.
    """
    try:
        return _CANONICAL.encode(value).encode()
    except UnicodeEncodeError as error:
        raise _refusal("a lone surrogate, which is no character", None) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise _refusal(f"a value that JSON cannot carry ({error})", None) from error


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical form, in hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def loads(body: bytes | str) -> Any:
    """Parse JSON that a stranger sent.

    Raises:
        BadInput: not UTF-8, not JSON, or holding a value that would be lost on its way.
    """
    try:
        text = body.decode() if isinstance(body, bytes) else body
        value = _DECODER.decode(text)
    except UnicodeDecodeError as error:
        raise BadInput(
            "json_encoding", f"The body is not UTF-8 (byte {error.start}).", hint="Send UTF-8."
        ) from error
    except RecursionError as error:
        raise _refusal(f"more than {MAX_JSON_DEPTH} nested levels", None) from error
    except json.JSONDecodeError as error:
        raise BadInput(
            "json_invalid",
            f"The body is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno}).",
        ) from error
    except ValueError as error:
        # Python refuses integers of thousands of digits before anything else sees them.
        raise _refusal("a number of too many digits", None) from error
    check(value)
    return value


def check(value: Any) -> None:
    """Walk a parsed value and refuse what cannot be carried without loss.

    Raises:
        BadInput: naming the path, as `input.messages[3].content`.
    """
    # The value stands in a list of its own, so that it is checked like any other.
    pending: list[tuple[Any, _Path | None, int]] = [([value], None, -1)]
    while pending:
        container, path, depth = pending.pop()
        if depth >= MAX_JSON_DEPTH:
            raise _refusal(f"more than {MAX_JSON_DEPTH} nested levels", path)
        pairs = container.items() if isinstance(container, dict) else enumerate(container)
        for key, child in pairs:
            fault = _fault(key) or _fault(child)
            if fault is not None:
                raise _refusal(fault, None if depth < 0 else (path, key))
            if isinstance(child, (dict, list)):
                pending.append((child, None if depth < 0 else (path, key), depth + 1))


def _fault(item: Any) -> str | None:
    """Return what is wrong with a value by itself, None where nothing is."""
    if isinstance(item, str):
        return None if item.isascii() or _is_text(item) else "a lone surrogate"
    if isinstance(item, int):
        return "a whole number beyond 64 bits" if abs(item) > MAX_INTEGER else None
    if isinstance(item, float):
        return None if math.isfinite(item) else "a number that is not finite"
    return None


def _is_text(item: str) -> bool:
    try:
        item.encode()
    except UnicodeEncodeError:
        return False
    return True


# Where a value stands: its container's path, and its key or index there. The text is made only
# for an error: made for each value, it would multiply long keys by long lists.
_Path = tuple["_Path | None", str | int]

_PLACE_CHARACTERS = 80


def _path_text(path: _Path | None) -> str:
    """Return a path as `input.messages[3].content`, cut to what a person reads."""
    parts: list[str] = []
    while path is not None:
        path, key = path
        parts.append(f"[{key}]" if isinstance(key, int) else f".{key[:_PLACE_CHARACTERS]}")
    text = "".join(reversed(parts)).removeprefix(".")[:_PLACE_CHARACTERS]
    return text.encode(errors="replace").decode()


def _refuse_constant(name: str) -> NoReturn:
    raise _refusal(name, None)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _refusal(what: str, path: _Path | None) -> BadInput:
    name = _path_text(path)
    where = f" at “{name}”" if name else ""
    return BadInput(
        "json_value",
        f"The JSON holds {what}{where}.",
        hint="Send such a value as text.",
        field=name or None,
    )
