"""The bell that rings after a commit.

It carries no data and a lost ring is harmless: whoever waits keeps a cursor and reads from it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Bell:
    """Tells listeners in one event loop that something was committed."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[], None]] = []
        self._waiters: list[asyncio.Future[None]] = []

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener()` at every ring, in the loop's thread."""
        self._listeners.append(listener)

    def ring(self) -> None:
        """Wake everybody. To be called in the loop's thread."""
        for listener in self._listeners:
            listener()
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, timeout_s: float) -> None:
        """Return at the next ring, or after `timeout_s` seconds."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await asyncio.wait([waiter], timeout=timeout_s)
        if not waiter.done():
            self._waiters.remove(waiter)
            waiter.cancel()
