"""Writes small files that are GGUF by their header, for tests that load no model."""

from __future__ import annotations

import struct
from pathlib import Path


def write_gguf(path: Path, *, title: str = "test", embeds: bool = False) -> Path:
    """Write a GGUF without tensors and return its path."""
    keys: list[tuple[str, str | int]] = [
        ("general.architecture", "llama"),
        ("general.name", title),
        ("llama.context_length", 4096),
        ("llama.block_count", 2),
        ("llama.embedding_length", 64),
        ("llama.attention.head_count", 4),
        ("llama.attention.head_count_kv", 2),
        ("tokenizer.chat_template", "{{ messages }}"),
    ]
    if embeds:
        keys.append(("llama.pooling_type", 1))
    body = b"GGUF" + struct.pack("<IQQ", 3, 0, len(keys))
    for name, value in keys:
        body += _text(name)
        if isinstance(value, str):
            body += struct.pack("<I", 8) + _text(value)
        else:
            body += struct.pack("<II", 4, value)
    path.write_bytes(body)
    return path


def _text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw
