"""The header of a GGUF file is read in bounded memory, whatever the file says of itself."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import pytest

from regend.errors import Refused
from regend.models.gguf import read_header
from tests.models.gguf_files import write_gguf

MIB = 1024 * 1024


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def entry(name: bytes, value: bytes) -> bytes:
    return text(name) + struct.pack("<I", 8) + text(value)


def with_entries(path: Path, *entries: bytes) -> Path:
    """Write a usable GGUF whose header begins with more entries."""
    whole = write_gguf(path).read_bytes()
    (keys,) = struct.unpack("<Q", whole[16:24])
    head = whole[:16] + struct.pack("<Q", keys + len(entries))
    path.write_bytes(head + b"".join(entries) + whole[24:])
    return path


def test_what_nobody_asks_for_is_passed_over_and_not_kept(tmp_path: Path) -> None:
    long = [entry(b"other.%d" % number, b"x" * 2 * MIB) for number in range(20)]
    path = with_entries(tmp_path / "long.gguf", *long)
    tracemalloc.start()
    header = read_header(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert header.context_tokens == 4096
    assert header.cache_bytes_per_token == 2 * 2 * (16 + 16) * 2 and header.has_chat_template
    assert peak < MIB


@pytest.mark.parametrize(
    "entries",
    [
        [entry(b"general.name", b"x" * (64 * 1024 + 1))],
        [entry(b"tokenizer.chat_template", b"x" * (MIB + 1))],
        [entry(b"n" * 257, b"")],
        [entry(b"a", b"x" * 40 * MIB), entry(b"b", b"x" * 40 * MIB)],
        [entry(b"%d.block_count" % number, b"x") for number in range(1001)],
        [text(b"a") + struct.pack("<IQ", 8, 2**63)],
        [text(b"a") + struct.pack("<IIQ", 9, 8, 2**40)],
        [text(b"a") + struct.pack("<IIQ", 9, 9, 1)],
    ],
)
def test_a_header_beyond_its_bounds_is_refused(tmp_path: Path, entries: list[bytes]) -> None:
    path = with_entries(tmp_path / "hostile.gguf", *entries)
    with pytest.raises(Refused) as caught:
        read_header(path)
    assert caught.value.code == "model_not_gguf"


def test_an_ordinary_template_is_taken(tmp_path: Path) -> None:
    template = entry(b"tokenizer.chat_template", b"x" * 100_000)
    assert read_header(with_entries(tmp_path / "a.gguf", template)).has_chat_template


@pytest.mark.parametrize(
    "value",
    [
        struct.pack("<If", 6, float("inf")),
        struct.pack("<Id", 12, float("nan")),
        struct.pack("<Iq", 11, -5),
        struct.pack("<IQ", 10, 2**64 - 1),
        struct.pack("<IIQf", 9, 6, 1, float("-inf")),
    ],
)
@pytest.mark.parametrize("key", [b"llama.context_length", b"llama.block_count"])
def test_a_count_that_is_none_is_refused(tmp_path: Path, key: bytes, value: bytes) -> None:
    whole = write_gguf(tmp_path / "odd.gguf").read_bytes()
    place = whole.index(key) + len(key)
    (tmp_path / "odd.gguf").write_bytes(whole[:place] + value + whole[place + 8 :])
    with pytest.raises(Refused) as caught:
        read_header(tmp_path / "odd.gguf")
    assert caught.value.code == "model_not_gguf"
