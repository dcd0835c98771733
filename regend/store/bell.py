"""The bell that rings after a commit.

It carries no data and a lost ring is harmless: whoever waits keeps a cursor and reads from it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Bell:
    """Tells listeners in one event loop that something was committed.

    Attributes:
        count: how often it rang; who reads, and waits only if it has not rung since, misses none.
    """

    def __init__(self) -> None:
        self.count = 0
        self._listeners: list[Callable[[], None]] = []
        self._waiters: list[asyncio.Future[None]] = []

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener()` at every ring, in the loop's thread."""
        self._listeners.append(listener)

    def forget(self, listener: Callable[[], None]) -> None:
        """Call a listener no more."""
        self._listeners.remove(listener)

    def ring(self) -> None:
        """Wake everybody. To be called in the loop's thread."""
        self.count += 1
        for listener in self._listeners:
            listener()
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, timeout_s: float, since: int | None = None) -> bool:
        """Wait for the next ring; False if none came within `timeout_s` seconds.

        Args:
            since: a `count` seen before reading; if it rang after that, return at once.
        """
        if since is not None and since != self.count:
            return True
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await asyncio.wait([waiter], timeout=timeout_s)
        if not waiter.done():
            self._waiters.remove(waiter)
            waiter.cancel()
            return False
        return True
