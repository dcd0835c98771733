"""What a device may be called, in any script, and when two names are one. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container
from typing import Final

from regend.errors import BadInput

NAME_CHARACTERS: Final = 64  # fits a line of a list

_HARMFUL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")  # move what is shown
_NAME_BYTES: Final = 256  # of 64 characters in any script
_JOINERS: Final = "\u200c\u200d"  # Hindi and emoji need them, though they print nothing
# What shows nothing: Unicode's Default_Ignorable_Code_Point, and the blank of Braille.
_UNSEEN: Final = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\u2800\u3164\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
)
_SELECTORS: Final = "\ufe00-\ufe0f\U000e0100-\U000e01ef"  # of one picture or another for a letter
_MISLEADING: Final = re.compile(f"[{_UNSEEN}]")
_INVISIBLE: Final = re.compile(f"[{_UNSEEN}{_SELECTORS}{_JOINERS}]")


def clean(name: str) -> str:
    """Return a name as it is kept: composed, with single spaces.

    Raises:
        BadInput: it is empty, too long, or holds what cannot be printed.
    """
    shown = " ".join(unicodedata.normalize("NFC", name).split())
    if not _INVISIBLE.sub("", shown).strip():
        raise _refusal("A device needs a name.")
    if len(shown) > NAME_CHARACTERS or len(shown.encode(errors="replace")) > _NAME_BYTES:
        raise _refusal(f"A device's name has at most {NAME_CHARACTERS} characters.")
    if seen(shown) != shown:
        raise _refusal("A device's name cannot hold characters that are not shown.")
    return shown


def is_harmless(name: str) -> bool:
    """Tell whether a name may stand in the roster.

    Looser than `clean`: what is printable depends on the version of Unicode, and devices must
    agree on which entries count.
    """
    return 0 < len(name.encode()) <= _NAME_BYTES and not _HARMFUL.search(name)


def seen(name: str) -> str:
    """Return of a name what can be shown: a member may have put into the roster what misleads."""
    printable = (one for one in name if one.isprintable() or one in _JOINERS)
    return _MISLEADING.sub("", "".join(printable))


def likeness(name: str) -> str:
    """Return what two names share that people would take for one."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return _INVISIBLE.sub("", folded)


def free(name: str, taken: Container[str]) -> str:
    """Return the name, or where that is taken, with the first number that makes it free.

    Args:
        taken: likenesses of other names.
    """
    shown, number = name, 1
    while likeness(shown) in taken:
        number += 1
        ending = f" {number}"
        shown = name[: NAME_CHARACTERS - len(ending)].rstrip() + ending
        while len(shown.encode()) > _NAME_BYTES:
            shown = shown[: -len(ending) - 1] + ending
    return shown


def _refusal(message: str) -> BadInput:
    return BadInput("device_name", message, hint="Choose another name.", field="name")
