"""The connection over which two devices pair: whole messages, small, and not for long.

Neither side knows the other yet: nothing said here is trusted before the pairing's own proof, which
also confirms the certificates.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import aiohttp
from aiohttp import WSMsgType

from regend.errors import Retryable, TooLarge
from regend.limits import LINK_CLOSE_S, PAIRING_S, WELCOME_MESSAGE_BYTES
from regend.sync.weblink import Socket


class PairingChannel:
    """Carries the messages of one pairing, for at most `PAIRING_S` seconds.

    Attributes:
        address: where the other side is, for people.
        certificate: what the other side showed (DER); None where this side was called, because a
            newcomer has none that anybody could check.

    Args:
        hang_up: ends the connection beneath at once; twice is once.
    """

    def __init__(
        self,
        socket: Socket,
        address: str,
        certificate: bytes | None,
        hang_up: Callable[[], Awaitable[None]],
    ) -> None:
        self.address = address
        self.certificate = certificate
        self._socket = socket
        self._hang_up = hang_up
        self._deadline_s = asyncio.get_running_loop().time() + PAIRING_S

    async def send(self, message: bytes) -> None:
        """Send a message.

        Raises:
            TooLarge: `message_too_large`; over `WELCOME_MESSAGE_BYTES`.
            Retryable: `pairing_ended`; the connection or its time is over.
        """
        if len(message) > WELCOME_MESSAGE_BYTES:
            raise TooLarge(
                "message_too_large",
                f"A message of a pairing has at most {WELCOME_MESSAGE_BYTES} bytes.",
            )
        try:
            async with asyncio.timeout_at(self._deadline_s):
                await self._socket.send_bytes(message)
        except OSError as error:  # also the time-out
            raise _ended(error) from error

    async def receive(self) -> bytes | None:
        """Return the next message, None once the other side has closed.

        Raises:
            Retryable: `pairing_ended`; its time is over.
        """
        try:
            async with asyncio.timeout_at(self._deadline_s):
                message = await self._socket.receive()
        except TimeoutError as error:
            raise _ended(error) from error
        return _binary(message)

    async def close(self) -> None:
        """End the connection; twice is once."""
        try:
            with contextlib.suppress(OSError):
                async with asyncio.timeout(LINK_CLOSE_S):
                    await self._socket.close()
        finally:
            await self._hang_up()


def _binary(message: aiohttp.WSMessage) -> bytes | None:
    return bytes(message.data) if message.type is WSMsgType.BINARY else None


def _ended(error: OSError) -> Retryable:
    why = f"took over {PAIRING_S:g} seconds" if isinstance(error, TimeoutError) else "was cut off"
    return Retryable("pairing_ended", f"The pairing {why}.", hint="Start it again on both devices.")
