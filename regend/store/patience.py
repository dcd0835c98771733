"""Waiting out a storage that refuses: the one rule of everybody who may lose nothing.

What the storage itself refuses (it is full, locked, read-only, damaged, gone) is tried again until
it is taken. What an operation raised by itself is its caller's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from itertools import chain, repeat
from typing import TypeVar

from regend.errors import Busy
from regend.store.writer import StorageFault

T = TypeVar("T")

log = logging.getLogger("regend.store")

_WAITS_S = (0.2, 0.5, 1.0, 2.0, 5.0)  # between two tries; the last again and again


async def patiently(
    attempt: Callable[[], Awaitable[T]], refused: Callable[[], None] = lambda: None
) -> T:
    """Await `attempt()` again and again while the storage refuses.

    Args:
        refused: called at each refusal.
    """
    for wait_s in chain(_WAITS_S, repeat(_WAITS_S[-1])):
        try:
            return await attempt()
        except (Busy, StorageFault) as error:
            log.warning("the storage refuses, trying again in %.1f s: %s", wait_s, error.message)
            refused()
        await asyncio.sleep(wait_s)
    raise AssertionError("the waits never end")
