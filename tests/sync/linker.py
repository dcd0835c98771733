"""One end of a link, in a host of a test: `serve FOLDER` or `call FOLDER ADDRESS`.

The folder holds the keys of the devices `a` (who serves) and `b` (who calls). Lines tell what
happens: `port N`, `open DEVICE`, `ended REASON`.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from regend.errors import RegendError
from regend.sync.lanclient import connect
from regend.sync.lanserver import LanServer
from regend.sync.link import Link
from tests.sync.devices import read_device

PORT = 7868
SILENCE_S = 1.0


async def tell(link: Link) -> None:
    print("open", link.device.hex(), flush=True)
    while await link.receive() is not None:
        pass
    print("ended", link.reason, flush=True)


async def serve(folder: Path) -> None:
    links: asyncio.Queue[Link] = asyncio.Queue()
    own, other = read_device(folder / "a"), read_device(folder / "b")
    server = LanServer(own.credentials, links.put_nowait, silence_s=SILENCE_S)
    server.set_members([other.certificate])
    print("port", await server.start(PORT), flush=True)
    await tell(await links.get())
    await server.stop()


async def call(folder: Path, address: str) -> None:
    own, other = read_device(folder / "b"), read_device(folder / "a")
    try:
        link = await connect(own.credentials, address, PORT, other.certificate, silence_s=SILENCE_S)
    except RegendError as error:
        print("ended", error.code, flush=True)
        return
    await tell(link)
    await link.cut()


if __name__ == "__main__":
    mode, where, *more = sys.argv[1:]
    asyncio.run(serve(Path(where)) if mode == "serve" else call(Path(where), more[0]))
