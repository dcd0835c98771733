"""What a browser loads from the daemon."""

from __future__ import annotations

from pathlib import Path


def files() -> dict[str, bytes]:
    """Return the scripts by the path under which a browser asks for them."""
    folder = Path(__file__).parent
    return {
        f"/{file.relative_to(folder).as_posix()}": file.read_bytes()
        for file in sorted(folder.rglob("*.js"))
    }
