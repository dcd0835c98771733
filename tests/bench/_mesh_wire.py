"""The ceiling of the mesh: the same bytes one way over bare TLS 1.3, and nothing else.

    python -m tests.bench._mesh_wire take CERTIFICATE ADDRESS PORT BYTES
    python -m tests.bench._mesh_wire send CERTIFICATE ADDRESS PORT BYTES COUNT PAUSE_S

Who sends writes its monotonic time at the head of each message; who takes prints, at the end, the
milliseconds that each took, as one JSON list.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import sys
import time

_STAMP_BYTES = 8


async def take(certificate: str, address: str, port: int, size: int) -> None:
    """Take messages from one sender until it closes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    took_ms: list[float] = []
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                message = await reader.readexactly(size)
                sent_ns = int.from_bytes(message[:_STAMP_BYTES], "big")
                took_ms.append((time.monotonic_ns() - sent_ns) / 1e6)
        except asyncio.IncompleteReadError:
            writer.close()
            over.set()

    async with await asyncio.start_server(serve, address, port, ssl=context):
        print("ready", flush=True)
        await over.wait()
    print(json.dumps(took_ms), flush=True)


async def send(
    certificate: str, address: str, port: int, size: int, count: int, pause_s: float
) -> None:
    """Send messages, one after a pause each."""
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    _, writer = await asyncio.open_connection(address, port, ssl=context)
    for _ in range(count):
        await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))
        stamp = time.monotonic_ns().to_bytes(_STAMP_BYTES, "big")
        writer.write(stamp + bytes(size - _STAMP_BYTES))
        await writer.drain()
    writer.close()
    await writer.wait_closed()


if __name__ == "__main__":
    role, file, host, number, length, *more = sys.argv[1:]
    if role == "take":
        asyncio.run(take(file, host, int(number), int(length)))
    else:
        asyncio.run(send(file, host, int(number), int(length), int(more[0]), float(more[1])))
