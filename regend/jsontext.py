"""JSON that survives every place it passes: SQLite, msgpack, browsers.

Python's parser accepts what others cannot carry (NaN, infinities, numbers beyond 64 bits, lone
surrogates). Here those are refused with the place they stand at, instead of being lost later.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any, NoReturn

from regend.errors import BadInput
from regend.limits import MAX_INTEGER, MAX_JSON_DEPTH


def dumps(value: Any) -> str:
    """Return compact JSON text, Unicode kept readable.

    Raises:
        BadInput: the value holds what JSON cannot carry.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        text.encode()
    except UnicodeEncodeError as error:
        raise _refusal("a lone surrogate, which is no character", "") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise _refusal(f"a value that JSON cannot carry ({error})", "") from error
    return text


def canonical(value: Any) -> bytes:
    """Return the one byte sequence that stands for this value: sorted keys, no spaces, UTF-8."""
    return json.dumps(
        value, ensure_ascii=False, separators=(",", ":"), allow_nan=False, sort_keys=True
    ).encode()


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
        value = json.loads(text, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise BadInput(
            "json_encoding", f"The body is not UTF-8 (byte {error.start}).", hint="Send UTF-8."
        ) from error
    except RecursionError as error:
        raise _refusal(f"more than {MAX_JSON_DEPTH} nested levels", "") from error
    except json.JSONDecodeError as error:
        raise BadInput(
            "json_invalid",
            f"The body is not valid JSON: {error.msg} "
            f"(line {error.lineno}, column {error.colno}).",
        ) from error
    except ValueError as error:
        # Python refuses integers of thousands of digits before anything else sees them.
        raise _refusal("a number of too many digits", "") from error
    check(value)
    return value


def check(value: Any) -> None:
    """Walk a parsed value and refuse what cannot be carried without loss.

    Raises:
        BadInput: naming the place, as `input.messages[3].content`.
    """
    pending: list[tuple[Any, str, int]] = [(value, "", 0)]
    while pending:
        item, place, depth = pending.pop()
        if depth > MAX_JSON_DEPTH:
            raise _refusal(f"more than {MAX_JSON_DEPTH} nested levels", place[:80])
        if isinstance(item, str):
            _check_text(item, place)
        elif isinstance(item, dict):
            for key, child in item.items():
                _check_text(key, place)
                pending.append((child, f"{place}.{key}" if place else str(key), depth + 1))
        elif isinstance(item, list):
            pending.extend((child, f"{place}[{i}]", depth + 1) for i, child in enumerate(item))
        elif isinstance(item, float) and not math.isfinite(item):
            raise _refusal("a number that is not finite", place)
        elif isinstance(item, int) and abs(item) > MAX_INTEGER:
            raise _refusal("a whole number beyond 64 bits", place)


def _check_text(text: str, place: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _refusal("a lone surrogate, which is no character", place) from error


def _refuse_constant(name: str) -> NoReturn:
    raise _refusal(name, "")


def _refusal(what: str, place: str) -> BadInput:
    where = f" at “{place}”" if place else ""
    return BadInput(
        "json_value",
        f"The JSON holds {what}{where}.",
        hint="Send such a value as text.",
        field=place or None,
    )
