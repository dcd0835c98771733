"""A client of one device for the mesh benchmark, run in the device's network namespace.

    python -m tests.bench._mesh_client HOME [TYPE ...]

Follows all jobs. Prints a JSON line for each event (where types are named, of these alone), with
the monotonic time at which it came, which is the same clock in all namespaces of a machine. Carries
out the calls that it reads as JSON lines `{"call": N, "method", "path", "body"}`, and prints
`{"answer": N, "asked_ns", "came_ns", "value"}`, or `error` in the place of `value`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from regend.client import Client, StreamEvent
from regend.errors import RegendError
from regend.home import Home

_LINE_BYTES = 1 << 20


def tell(**said: Any) -> None:
    """Print a line at once."""
    print(json.dumps(said), flush=True)


async def call(client: Client, asked: dict[str, Any]) -> None:
    """Carry out a call and tell of it."""
    told: dict[str, Any] = {"answer": asked["call"], "asked_ns": time.monotonic_ns()}
    try:
        path = "/api/v1" + asked["path"]
        told["value"] = await client.request(asked["method"], path, body=asked["body"])
    except RegendError as error:
        told["error"] = error.to_dict()
    told["came_ns"] = time.monotonic_ns()
    tell(**told)


async def follow(client: Client, types: Sequence[str]) -> None:
    """Tell of every event from now on, or of those of these types."""
    async with client.stream() as stream:
        await stream.connected()
        tell(ready=True)
        async for item in stream:
            came_ns = time.monotonic_ns()
            if isinstance(item, StreamEvent) and (not types or item.type in types):
                tell(event=item.type, job=item.job_id, came_ns=came_ns, data=item.data)


async def main(home: Path, types: Sequence[str]) -> None:
    """Serve until the input ends."""
    reader = asyncio.StreamReader(limit=_LINE_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with Client(home=Home.at(home)) as client:
        following = asyncio.create_task(follow(client, types))
        calls = set()
        while line := await reader.readline():
            task = asyncio.create_task(call(client, json.loads(line)))
            calls.add(task)
            task.add_done_callback(calls.discard)
        following.cancel()
        await asyncio.gather(following, *calls, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2:]))
