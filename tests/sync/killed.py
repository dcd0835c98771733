"""A device that is killed while it packs.

Run as `python -m tests.sync.killed FOLDER NAME WHERE TURN`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final
from unittest import mock

from regend.sync import frame, packing
from tests.sync.houses import Household
from tests.sync.persons import mesh

NAMES: Final = ("one", "two", "three")
PLACES: Final = {
    "before a page": (packing, "next_page"),
    "between sealing and storing": (frame, "seal"),
    "before the commit": (packing, "pack"),
}


async def run(folder: Path, name: str, where: str, turn: int) -> None:
    device = await Household(folder, mesh(*NAMES), name).join()
    module, function = PLACES[where]
    real, count = getattr(module, function), 0

    def die(*arguments: Any) -> Any:
        nonlocal count
        done = real(*arguments)
        count += 1
        if count == turn:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    with mock.patch.object(module, function, die):
        await device.packing.run_once()
    raise AssertionError("it was to die")


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])))
