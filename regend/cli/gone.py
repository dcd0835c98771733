"""Documents whose files are gone from a folder that was added again.

The library keeps what it was given, and goes on quoting it: only a person knows whether a file was
deleted for good, or lies on a disk that is not there today. What another device added is that one's
to look for, whatever the names of its folders.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from regend.library.folder import printable


def gone_from(folders: Iterable[Path], documents: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the documents that came from one of the folders, and whose file is there no more."""
    roots = [Path(printable(folder.resolve())) for folder in folders]
    return [
        document
        for document in documents
        if any(Path(document["source"]).is_relative_to(root) for root in roots)
        and _is_gone(document["source"])
    ]


def _is_gone(source: str) -> bool:
    """Tell whether there is surely no file; a name in no encoding is stored as another one."""
    if "\ufffd" in source:
        return False
    try:
        os.lstat(source)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):  # it may not be looked at, or is no path
        return False
    return False
