"""Writes every packet that passes the interfaces of a namespace to a file, one after the other."""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

READY = b"ready"
_EVERY_PROTOCOL = 0x0003  # ETH_P_ALL


def main(file: Path) -> None:
    """Capture until SIGTERM."""
    with (
        socket.socket(
            socket.AF_PACKET,  # type: ignore[attr-defined,unused-ignore]
            socket.SOCK_RAW,
            socket.htons(_EVERY_PROTOCOL),
        ) as tap,
        file.open("wb") as out,
    ):
        signal.signal(signal.SIGTERM, _leave)
        print(READY.decode(), flush=True)
        while True:
            out.write(tap.recv(65536))
            out.flush()


def _leave(*_: object) -> NoReturn:
    raise SystemExit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
