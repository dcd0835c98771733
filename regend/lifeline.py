"""The tie between the daemon and a child: whatever becomes of the daemon, the child ends with it.

Every child sees its standard input end. One that is stopped or deep in foreign code sees nothing,
and what a child started sees nothing either; on Linux the kernel ends them, too.

How: the child inherits the reading end of a pipe and need not know of it. Whatever happens at that
end makes the kernel send a signal of our choice to a group of our choice. Nothing is ever written,
so what happens is that the only writer is gone. (PR_SET_PDEATHSIG reaches one process only, and by
ending it first would take the pipe's end out of the kernel's sight.)
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import Any

if sys.platform == "linux":
    import fcntl


class Lifeline:
    """Starts one child at the head of a group, and ends the group at the latest with this process.

    On other systems than Linux the group's end is left to the child.
    """

    def __init__(self) -> None:
        self._ends: tuple[int, ...] = ()

    async def start(self, *command: str, **options: Any) -> asyncio.subprocess.Process:
        """Start the child.

        Args:
            command: the program and its arguments.
            options: of `asyncio.create_subprocess_exec`.

        Raises:
            OSError: it cannot be started.
        """
        if sys.platform == "linux":
            self._ends = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *command, start_new_session=True, pass_fds=self._ends[:1], **options
            )
        except BaseException:
            self.cut()
            raise
        if sys.platform == "linux":
            reader, writer = self._ends
            self._ends = (writer,)
            with contextlib.suppress(OSError):  # the child is gone already
                fcntl.fcntl(reader, fcntl.F_SETOWN, -process.pid)
                fcntl.fcntl(reader, fcntl.F_SETSIG, signal.SIGKILL)
                fcntl.fcntl(reader, fcntl.F_SETFL, os.O_ASYNC)
            os.close(reader)
        return process

    def cut(self) -> None:
        """End what still lives of the group. Twice is once."""
        ends, self._ends = self._ends, ()
        for end in ends:
            os.close(end)
