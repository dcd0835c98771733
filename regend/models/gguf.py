"""Reads the header of a GGUF file: enough to refuse what is not one, and to plan its memory.

Rules: nothing in the file is trusted; every count and length is bounded before it is used, and
only the keys that are asked for are kept, in bounded length. Tensors are never read. The format is
the GGUF specification of the ggml project, versions 2 and 3, little-endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from regend.errors import Refused
from regend.limits import KIB, MIB

_MAGIC = b"GGUF"
_MAX_KEYS = 100_000
_MAX_COUNT = 2**32  # of tokens, layers, heads: none is near it
_MAX_TENSORS = 1_000_000
_MAX_HEADER_BYTES = 64 * MIB
_MAX_NAME_BYTES = 256
_MAX_KEPT_BYTES = 64 * KIB
_MAX_TEMPLATE_BYTES = 1 * MIB
_MAX_ARRAY_LENGTH = 10_000_000
_SCALARS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_STRING = 8
_ARRAY = 9
_KEPT_ARRAY_LENGTH = 1024  # per-layer values; vocabularies are longer and are skipped
_TEMPLATE = "tokenizer.chat_template"
_KEPT = frozenset({"general.architecture", "general.name", "general.license", _TEMPLATE})
# Of an architecture, after its name, which the file may give after these.
_KEPT_ENDINGS = (
    *(".context_length", ".block_count", ".embedding_length", ".pooling_type"),
    *(".attention.head_count", ".attention.head_count_kv"),
    *(".attention.key_length", ".attention.value_length"),
)
_MAX_KEPT = 1000


@dataclass(frozen=True)
class GgufHeader:
    """What a GGUF file says about itself.

    Attributes:
        title: the model's own name, may be empty.
        licence: the licence it states, may be empty.
        context_tokens: what it was trained for; 0 where it does not say.
        cache_bytes_per_token: size of its key-value cache for one token in 16-bit floats.
        embeds: whether it is made for embeddings rather than text.
        has_chat_template: whether it can lay out a conversation.
    """

    title: str
    licence: str
    context_tokens: int
    cache_bytes_per_token: int
    embeds: bool
    has_chat_template: bool


def read_header(path: Path) -> GgufHeader:
    """Return what the file's header says.

    Raises:
        Refused: `model_not_gguf`; the file is not a whole GGUF header.
    """
    try:
        with path.open("rb") as file:
            return _interpret(_read_values(file, path), path)
    except (OSError, struct.error, EOFError, UnicodeDecodeError, ValueError) as error:
        raise _broken(path, str(error) or "it ends too early") from error


def _broken(path: Path, reason: str) -> Refused:
    return Refused(
        "model_not_gguf",
        f"{path.name} is not a usable GGUF model: {reason}.",
        hint="Give the path of a complete GGUF file; download it again if it was cut short.",
    )


def _read_values(file: BinaryIO, path: Path) -> dict[str, Any]:
    if file.read(4) != _MAGIC:
        raise ValueError("it does not begin as GGUF files do")
    (version,) = _unpack(file, "<I")
    if version not in (2, 3):
        raise ValueError(f"its format version {version} is unknown")
    tensors, keys = _unpack(file, "<QQ")
    if tensors > _MAX_TENSORS or keys > _MAX_KEYS:
        raise ValueError("its header is damaged")
    if path.stat().st_size < 24 + tensors * 32:
        raise ValueError("it is shorter than its header says")
    values = {}
    for _ in range(keys):
        name = _read_string(file, _MAX_NAME_BYTES)
        (kind,) = _unpack(file, "<I")
        if name in _KEPT or name.endswith(_KEPT_ENDINGS):
            longest = _MAX_TEMPLATE_BYTES if name == _TEMPLATE else _MAX_KEPT_BYTES
            values[name] = _read_value(file, kind, longest)
        else:
            _skip_value(file, kind)
        if file.tell() > _MAX_HEADER_BYTES or len(values) > _MAX_KEPT:
            raise ValueError("its header is too large")
    return values


def _unpack(file: BinaryIO, layout: str) -> tuple[Any, ...]:
    return struct.unpack(layout, file.read(struct.calcsize(layout)))


def _read_string(file: BinaryIO, longest_bytes: int) -> str:
    (length,) = _unpack(file, "<Q")
    if length > longest_bytes:
        raise ValueError("its header holds a text that is too long")
    raw = file.read(length)
    if len(raw) != length:
        raise EOFError
    return raw.decode("utf-8", errors="replace")


def _read_value(file: BinaryIO, kind: int, longest_bytes: int) -> Any:
    if kind in _SCALARS:
        return _unpack(file, _SCALARS[kind])[0]
    if kind == _STRING:
        return _read_string(file, longest_bytes)
    if kind == _ARRAY:
        return _read_array(file)
    raise ValueError("its header is damaged")


def _read_array(file: BinaryIO) -> list[Any] | None:
    """Return a short array of scalars; skip any other."""
    item, length = _unpack(file, "<IQ")
    if item in _SCALARS and length <= _KEPT_ARRAY_LENGTH:
        return [_unpack(file, _SCALARS[item])[0] for _ in range(length)]
    _skip_items(file, item, length)
    return None


def _skip_value(file: BinaryIO, kind: int) -> None:
    item, length = _unpack(file, "<IQ") if kind == _ARRAY else (kind, 1)
    _skip_items(file, item, length)


def _skip_items(file: BinaryIO, item: int, length: int) -> None:
    if length > _MAX_ARRAY_LENGTH:
        raise ValueError("its header is damaged")
    if item in _SCALARS:
        _skip(file, length * struct.calcsize(_SCALARS[item]))
    elif item == _STRING:
        for _ in range(length):
            _skip(file, _unpack(file, "<Q")[0])
    else:
        raise ValueError("its header is damaged")


def _skip(file: BinaryIO, size_bytes: int) -> None:
    if size_bytes > _MAX_HEADER_BYTES - file.tell():
        raise ValueError("its header is too large")
    file.seek(size_bytes, 1)


def _number(value: Any) -> int:
    """Return a count, 0 where there is none; the largest where the file gives one for each layer.

    Raises:
        ValueError: it cannot be one.
    """
    counts = [
        one for one in (value if isinstance(value, list) else [value]) if type(one) is not str
    ]
    if not all(one is None or 0 <= one <= _MAX_COUNT for one in counts):
        raise ValueError("its header is damaged")
    return max((int(one or 0) for one in counts), default=0)


def _interpret(values: dict[str, Any], path: Path) -> GgufHeader:
    architecture = values.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise _broken(path, "it names no architecture")

    def of(key: str) -> int:
        return _number(values.get(f"{architecture}.{key}"))

    heads = of("attention.head_count")
    width = of("embedding_length") // heads if heads else 0
    per_head = (of("attention.key_length") or width) + (of("attention.value_length") or width)
    cache_heads = of("attention.head_count_kv") or heads
    return GgufHeader(
        title=str(values.get("general.name") or ""),
        licence=str(values.get("general.license") or ""),
        context_tokens=of("context_length"),
        cache_bytes_per_token=of("block_count") * cache_heads * per_head * 2,
        embeds=f"{architecture}.pooling_type" in values,
        has_chat_template=bool(values.get(_TEMPLATE)),
    )
