"""Where connections wait until they have shown who they are: few, and not for long.

Anybody on the network can connect. Until a connection has finished TLS and asked for something that
it may have, it is a stranger: strangers are bounded in number, in number per address and in time.
Where they are too many the oldest makes room: a member needs a moment to show who it is, and gets
in while others open connections without end and say nothing. Nor are more greeted in a second than
the daemon can bear beside its work: the others wait for their turn with the system.

One who is not near, or calls at an address that is not, is not served at all. The port is open on
all interfaces nevertheless: addresses come and go, and one that listens at each of them, and at no
other, is away whenever it is late.

The sockets are accepted here, and not by `asyncio.start_server`, because that begins TLS before it
tells anybody, without a bound on how many do so at once, and with one context for ever: the roster
changes while the port stays open.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final

from regend.errors import BadInput
from regend.limits import (
    GREETINGS_AT_ONCE,
    GREETINGS_PER_S,
    LINK_CLOSE_S,
    STRANGER_S,
    STRANGERS,
    STRANGERS_PER_ADDRESS,
)
from regend.sync.near import is_link_local, is_near, plain, written

log = logging.getLogger("regend.sync")

_BACKLOG: Final = 128
_PORT_TRIES: Final = 8
_ACCEPT_PAUSE_S: Final = 0.2  # where the system has no more files to give
_TURNS_TO_BEGIN: Final = 4  # of the loop, until TLS has its transport


class Stranger:
    """A connection that has not shown yet who it is.

    Attributes:
        host: the address that it comes from.
        address: the same with its zone, where that matters.
        written: with its port, for people.
    """

    def __init__(
        self, doorstep: Doorstep, connection: socket.socket, host: str, port: int, scope: int = 0
    ) -> None:
        self.host = plain(host)
        self.address = f"{self.host}%{scope}" if scope and is_link_local(host) else self.host
        self.written = written(self.address, port)
        self._connection = connection
        self._doorstep: Doorstep | None = doorstep
        self._timer: asyncio.TimerHandle | None = None

    def expect_by(self, deadline_s: float, transport: asyncio.BaseTransport) -> None:
        """Cut the connection at `deadline_s` of the loop's clock, if it is still a stranger's."""
        if self._doorstep is not None and isinstance(transport, asyncio.WriteTransport):
            self._timer = asyncio.get_running_loop().call_at(deadline_s, transport.abort)

    @property
    def is_known(self) -> bool:
        """Whether it has shown who it is, or is gone."""
        return self._doorstep is None

    def turn_away(self) -> None:
        """End the connection, wherever it is: whoever reads from it finds its end."""
        self.settle()
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def settle(self) -> None:
        """Count it no longer: it is known now, or gone. Twice is once."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._doorstep is not None:
            self._doorstep.forget(self)
            self._doorstep = None


class Doorstep:
    """Listens on one port, IPv4 and IPv6, and lets connections in by TLS.

    Args:
        context: returns the context for the next connection.
        protocol: makes the protocol of a connection; it settles its stranger in the end.
        stranger_s: how long a connection may remain a stranger's.
    """

    def __init__(
        self,
        context: Callable[[], ssl.SSLContext],
        protocol: Callable[[Stranger], asyncio.Protocol],
        stranger_s: float = STRANGER_S,
    ) -> None:
        self._stranger_s = stranger_s
        self._context = context
        self._protocol = protocol
        self._listening: list[socket.socket] = []
        self._accepting: set[asyncio.Task[None]] = set()
        self._greeting: set[asyncio.Task[None]] = set()
        self._strangers: dict[Stranger, None] = {}  # the oldest first
        self._paced_s = 0.0  # of the loop's clock: when the next is due, at an even pace

    @property
    def strangers(self) -> int:
        """How many connections have not shown yet who they are."""
        return len(self._strangers)

    def open(self, port: int) -> int:
        """Listen, and return the port.

        Args:
            port: 0 for any that is free.

        Raises:
            BadInput: `port_in_use` or `cannot_listen`.
        """
        self._listening = _listen(port)
        for listening in self._listening:
            _start(self._accept(listening), self._accepting)
        bound: int = self._listening[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        """Listen no more; connections in the middle of TLS are cut."""
        await _end(self._accepting)
        for _ in range(_TURNS_TO_BEGIN):
            await asyncio.sleep(0)  # what was let in last: asyncio loses sockets that it just took
        await _end(self._greeting)
        for listening in self._listening:
            listening.close()
        self._listening = []

    def forget(self, stranger: Stranger) -> None:
        """Count a stranger no longer."""
        self._strangers.pop(stranger, None)

    async def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, address = await _accepted(listening)
            except OSError as error:
                log.warning("a connection cannot be accepted: %s", error.strerror or error)
                await asyncio.sleep(_ACCEPT_PAUSE_S)
                continue
            if _is_between_near(connection, address[0]):
                host, port, *rest = address
                self._make_room_for(plain(host))
                stranger = Stranger(self, connection, host, port, *rest[1:])
                self._strangers[stranger] = None
                _start(self._greet(connection, stranger), self._greeting)
            else:
                connection.close()
            await self._keep_pace()

    async def _keep_pace(self) -> None:
        """Wait until the next connection may be greeted; let the loop turn, in any case."""
        now_s = asyncio.get_running_loop().time()
        step_s = 1 / GREETINGS_PER_S
        self._paced_s = max(self._paced_s, now_s - GREETINGS_AT_ONCE * step_s) + step_s
        await asyncio.sleep(max(0.0, self._paced_s - now_s))

    def _make_room_for(self, host: str) -> None:
        of_host = [one for one in self._strangers if one.host == host]
        if len(of_host) >= STRANGERS_PER_ADDRESS:
            of_host[0].turn_away()
        elif len(self._strangers) >= STRANGERS:
            next(iter(self._strangers)).turn_away()

    async def _greet(self, connection: socket.socket, stranger: Stranger) -> None:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._stranger_s
        try:
            async with asyncio.timeout_at(deadline_s):
                transport, _ = await loop.connect_accepted_socket(
                    lambda: self._protocol(stranger),
                    connection,
                    ssl=self._context(),
                    ssl_handshake_timeout=self._stranger_s,
                    ssl_shutdown_timeout=LINK_CLOSE_S,
                )
            stranger.expect_by(deadline_s, transport)
        except OSError as error:  # also what TLS refuses, and the time-out
            stranger.settle()
            log.debug("%s did not get through TLS: %s", stranger.written, type(error).__name__)
            _untie(error)
        except BaseException:
            stranger.settle()
            raise


def _untie(error: BaseException | None) -> None:
    """Let go of the frames that an error came through.

    One of them holds the future that asyncio keeps the error in: a circle with the buffers of TLS
    in it, 256 KiB and more, of which a flood leaves a hundred behind until they are collected.
    """
    while error is not None:
        error.__traceback__, error = None, error.__context__


def _is_between_near(connection: socket.socket, host: str) -> bool:
    try:
        return is_near(host) and is_near(connection.getsockname()[0])
    except OSError:
        return False  # gone already


def _start(work: Coroutine[Any, Any, None], among: set[asyncio.Task[None]]) -> None:
    task = asyncio.create_task(work)
    among.add(task)
    task.add_done_callback(among.discard)


async def _end(tasks: set[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


async def _accepted(listening: socket.socket) -> tuple[socket.socket, Any]:
    """Return the next connection and where it is from.

    `loop.sock_accept` loses a connection that comes in the turn in which it is cancelled.
    """
    loop = asyncio.get_running_loop()
    if sys.platform == "win32":
        return await loop.sock_accept(listening)  # its loop does not tell what is readable
    while True:
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            connection, address = listening.accept()
            connection.setblocking(False)
            return connection, address
        readable = asyncio.Event()
        loop.add_reader(listening, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(listening)


def _listen(port: int) -> list[socket.socket]:
    for _ in range(_PORT_TRIES - 1):
        try:
            return _listen_once(port)
        except BadInput:
            if port != 0:
                raise  # a free port of one family may be taken in the other; a given one may not
    return _listen_once(port)


def _listen_once(port: int) -> list[socket.socket]:
    """Return listening sockets of one port: IPv4, and IPv6 where the system has it."""
    sockets: list[socket.socket] = []
    try:
        sockets.append(_socket(socket.AF_INET, "0.0.0.0", port))
        bound = sockets[0].getsockname()[1]
        try:
            sockets.append(_socket(socket.AF_INET6, "::", bound))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise
            log.info("no IPv6 for other devices: %s", error.strerror or error)
    except OSError as error:
        for one in sockets:
            one.close()
        raise _cannot_listen(port, error) from error
    return sockets


def _socket(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    listening.setblocking(False)
    return listening


def _cannot_listen(port: int, error: OSError) -> BadInput:
    if error.errno == errno.EADDRINUSE:
        return BadInput(
            "port_in_use",
            f"Port {port}, on which other devices find this one, is taken by another program.",
            hint="Stop it, or set another `port` under [mesh].",
        )
    return BadInput(
        "cannot_listen", f"Cannot listen on port {port} for devices: {error.strerror or error}."
    )
