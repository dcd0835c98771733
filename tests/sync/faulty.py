"""A way between two devices on which a byte is changed, everything stops, or the line is cut."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

Kind = Literal["cut", "stall", "flip"]
Direction = Literal["there", "back"]


@dataclass
class Fault:
    """What happens to a connection at a byte that goes in a direction, once."""

    kind: Kind
    direction: Direction
    place: int


class FaultyWay:
    """Carries bytes from its own port to another, with at most one fault to a connection.

    Attributes:
        fault: of the next connection; None once it happened.
        connections: how many were made.
        carried: bytes of the newest connection, by direction.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.fault: Fault | None = None
        self.connections = 0
        self.carried: dict[Direction, int] = {}

    async def open(self) -> int:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        await self.cut()
        await self._server.wait_closed()

    async def cut(self) -> None:
        """Cut every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        writers = [writer]
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._to)
            writers.append(there_writer)
            carried: dict[Direction, int] = {"there": 0, "back": 0}
            self.carried = carried
            ways = {
                asyncio.create_task(self._pass(reader, there_writer, "there", carried)),
                asyncio.create_task(self._pass(there_reader, writer, "back", carried)),
            }
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for one in writers:
                one.transport.abort()
            self._tasks.discard(task)

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        direction: Direction,
        carried: dict[Direction, int],
    ) -> None:
        while chunk := await reader.read(1 << 16):
            begin, fault = carried[direction], self.fault
            if (
                fault is not None
                and carried is self.carried
                and fault.direction == direction
                and fault.place < begin + len(chunk)
            ):
                self.fault = None
                at = fault.place - begin
                if fault.kind == "flip":
                    chunk = chunk[:at] + bytes([chunk[at] ^ 0x10]) + chunk[at + 1 :]
                else:
                    writer.write(chunk[:at])
                    await writer.drain()
                    if fault.kind == "stall":
                        await asyncio.Event().wait()  # the other way goes on, as where packets drop
                    return
            carried[direction] += len(chunk)
            writer.write(chunk)
            await writer.drain()
