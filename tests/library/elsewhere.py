"""A network of its own, with a name server and two web servers, in which fetching is tried.

Run by `test_rebinding` inside fresh namespaces as `python -m tests.library.elsewhere`. It prints
what came of each case as JSON. The public server has an address of the real internet, the private
one is on loopback, both at the same port; the name server answers as `NAMES` says.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import socket
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from aiohttp import web

from regend.errors import RegendError
from regend.library.fetch import fetch

PUBLIC, PRIVATE, PORT = "93.184.216.34", "127.0.0.1", 8080

# What a name resolves to, the first time, the second time, and so on; the last answer stays.
NAMES = {
    "outside.example": [[PUBLIC]],
    "inside.example": [[PRIVATE]],
    "both.example": [[PUBLIC, PRIVATE]],
    "turning.example": [[PUBLIC], [PRIVATE]],
}

CASES = {
    "a public page": "http://outside.example:8080/page",
    "a name of this machine": "http://inside.example:8080/page",
    "a name with a foot inside": "http://both.example:8080/page",
    "a redirect to a name of this machine": "http://outside.example:8080/to/inside.example",
    "a redirect to a name with a foot inside": "http://outside.example:8080/to/both.example",
    "a name that turns inside after it was checked": "http://turning.example:8080/page",
    "a redirect to a name that has turned inside": "http://outside.example:8080/to/turning.example",
}

_SIOCSIFADDR, _SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8916, 0x8913, 0x8914, 0x1


def give_addresses() -> None:
    """Bring loopback up, and the public address on it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for name, address in ((b"lo", PRIVATE), (b"lo:1", PUBLIC)):
            request = struct.pack("16sHH4s8x", name, socket.AF_INET, 0, socket.inet_aton(address))
            fcntl.ioctl(control, _SIOCSIFADDR, request)
        flags = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16sh14x", b"lo", 0))
        (up,) = struct.unpack("16xh14x", flags)
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", up | _IFF_UP))


def name_the_server(folder: Path) -> None:
    """Let the system's resolver ask the name server of this network."""
    settings = folder / "resolv.conf"
    settings.write_text(f"nameserver {PRIVATE}\noptions attempts:1 timeout:2\n", encoding="ascii")
    subprocess.run(["mount", "--bind", settings, "/etc/resolv.conf"], check=True)


class NameServer(asyncio.DatagramProtocol):
    """Answers questions for IPv4 addresses (RFC 1035), and counts them."""

    def __init__(self) -> None:
        self.asked: dict[str, int] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        labels, place = [], 12
        while length := data[place]:
            labels.append(data[place + 1 : place + 1 + length].decode().lower())
            place += 1 + length
        question, kind = data[12 : place + 5], int.from_bytes(data[place + 1 : place + 3], "big")
        found = self._addresses(".".join(labels)) if kind == 1 else []
        answers = b"".join(
            struct.pack(">HHHIH4s", 0xC00C, 1, 1, 0, 4, socket.inet_aton(one)) for one in found
        )
        head = data[:2] + struct.pack(">HHHHH", 0x8180, 1, len(found), 0, 0)
        self._transport.sendto(head + question + answers, addr)

    def _addresses(self, name: str) -> list[str]:
        turns = NAMES[name]
        count = self.asked[name] = self.asked.get(name, 0) + 1
        return turns[min(count, len(turns)) - 1]


async def serve(address: str, seen: list[str]) -> None:
    """Serve pages that say where they come from, and redirects."""

    async def page(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response(text=f"from {address}", content_type="text/plain")

    async def redirect(request: web.Request) -> web.Response:
        to = request.match_info["name"]
        return web.Response(status=302, headers={"Location": f"http://{to}:{PORT}/page"})

    application = web.Application()
    application.add_routes([web.get("/page", page), web.get("/to/{name}", redirect)])
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, address, PORT).start()


async def attempt(url: str) -> str:
    """Return what a fetch brings: the page, or the code of its refusal."""
    try:
        return (await fetch(url)).data.decode()
    except RegendError as error:
        return error.code


async def main() -> None:
    """Try every case; print what came of it and what the private server saw."""
    give_addresses()
    with tempfile.TemporaryDirectory() as folder:
        name_the_server(Path(folder))
        loop = asyncio.get_running_loop()
        _, names = await loop.create_datagram_endpoint(NameServer, local_addr=(PRIVATE, 53))
        private: list[str] = []
        await serve(PUBLIC, [])
        await serve(PRIVATE, private)
        results: dict[str, object] = {case: await attempt(url) for case, url in CASES.items()}
        print(json.dumps({**results, "private": private, "asked": names.asked}))


if __name__ == "__main__":
    asyncio.run(main())
