"""The real daemon with test agents, which kills itself or a child at the n-th hit of a point.

Run as `python -m tests.crash.daemon HOME [POINT HIT [VICTIM]]`. A point may also be named while it
runs: in the file `kill-at` of the home, as `POINT HIT`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO

from regend import daemon
from regend.agents import AGENTS as OWN_AGENTS
from regend.home import Home
from regend.jobs.inputs import INPUT_TYPES, InputType
from regend.store.writer import Probe
from regend.sync import fetching, sending
from regend.sync.pairingchannel import PairingChannel
from tests.network import keep_apart

POINTS = (
    "commit:before",
    "commit:after",
    "blob:before-rename",
    "blob:after-rename",
    "attempt:claimed",
    "attempt:ended",
    "attempt:settled",
)
AGENTS = ("count", "chatter", "stubborn", "hostile")


class Killer:
    """A probe that kills at the n-th hit of one point: its process, or a kind of its children.

    Args:
        victim: `daemon`, or how its children are called: `worker`, `model`.
        order: a file that may name another point and hit later.
    """

    def __init__(self, point: str, hit: int, victim: str, order: Path) -> None:
        self._point = point
        self._left = hit
        self._victim = victim
        self._order = order

    def __call__(self, point: str) -> None:
        if self._order.exists():
            self._point, hit = self._order.read_text(encoding="utf-8").split()
            self._left = int(hit)
            self._order.unlink()
        if point != self._point:
            return
        self._left -= 1
        if self._left == 0:
            for pid in self._victims():
                os.kill(pid, signal.SIGKILL)

    def _victims(self) -> list[int]:
        if self._victim == "daemon":
            return [os.getpid()]
        return children_of(os.getpid(), self._victim)


def probe_mesh(probe: Probe, note: Path) -> None:
    """Let the probe be called also where devices pair, and around and within pieces of payloads.

    Args:
        note: gets the digest and the place of each piece that came, a line to each.
    """
    send, receive = PairingChannel.send, PairingChannel.receive
    append, read = fetching._append, sending._read

    async def sends(self: PairingChannel, message: bytes) -> None:
        probe("pairing:before-send")
        await send(self, message)
        probe("pairing:after-send")

    async def receives(self: PairingChannel) -> bytes | None:
        message = await receive(self)
        probe("pairing:after-receive")
        return message

    def reads(file: BinaryIO, offset: int) -> tuple[int, bytes]:
        probe("piece:sent")
        return read(file, offset)

    def appends(file: Path, offset: int, content: bytes) -> None:
        with note.open("a", encoding="utf-8") as notes:
            notes.write(f"{file.stem} {offset}\n")
        probe("piece:before")
        append(file, offset, content[: len(content) // 2])
        probe("piece:half")
        append(file, offset, content)
        probe("piece:after")

    PairingChannel.send, PairingChannel.receive = sends, receives  # type: ignore[method-assign]
    fetching._append, sending._read = appends, reads


def children_of(parent: int, kind: str) -> list[int]:
    """Return the children of a daemon that run as `regend KIND`."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if int(fields[1]) == parent and [b"regend", kind.encode()] in pairs(words):
                found.append(int(entry.name))
    return found


def pairs(words: list[bytes]) -> list[list[bytes]]:
    return [words[place : place + 2] for place in range(len(words))]


def main(root: str, point: str = "", hit: str = "0", victim: str = "daemon") -> int:
    """Serve on the home until told to stop, or until the point is hit."""
    types = {name: InputType({}, lambda _v: "A test") for name in AGENTS}
    probe = Killer(point, int(hit), victim, Path(root) / "kill-at")
    probe_mesh(probe, Path(root) / "pieces")
    agents = {name: f"tests.crash.agents.{name}" for name in AGENTS}
    return daemon.main(
        Home.at(Path(root)),
        port=0,
        agents={**agents, "chat": OWN_AGENTS["chat"]},
        types={**types, "chat": INPUT_TYPES["chat"]},
        probe=probe,
    )


if __name__ == "__main__":
    keep_apart()
    sys.exit(main(*sys.argv[1:]))
