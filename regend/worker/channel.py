"""The worker's end of the wire: frames out under a lock, frames in on a thread of its own.

Standard output is the wire; what the agent prints goes to standard error. When the wire ends, the
daemon is gone, and so are the worker and whatever the agent started.
"""

from __future__ import annotations

import ctypes
import logging
import os
import queue
import sys
import threading
from typing import Any

from regend.errors import RegendError
from regend.jobs.frames import Frame, FrameReader, encode
from regend.limits import HEARTBEAT_INTERVAL_S, KIB
from regend.processes import leave_with_group

_READ_BYTES = 256 * KIB


class Channel:
    """Speaks to the daemon. Safe to use from several threads."""

    def __init__(self) -> None:
        self._read_from = os.dup(0)
        self._write_to = os.dup(1)
        os.dup2(2, 1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        self._lock = threading.Lock()
        self._answers: dict[int, queue.SimpleQueue[Frame]] = {}
        self._last_id = 0
        self.begun: queue.SimpleQueue[Frame] = queue.SimpleQueue()
        self.stop_reason: str | None = None
        threading.Thread(target=self._listen, name="listen", daemon=True).start()
        threading.Thread(target=self._beat, name="beat", daemon=True).start()

    def send(self, frame: Frame) -> None:
        """Send a frame; ends the process where the daemon is gone."""
        wire = memoryview(encode(frame))
        with self._lock:
            try:
                while wire:
                    wire = wire[os.write(self._write_to, wire) :]
            except OSError:
                leave_with_group()

    def ask(self, op: str, **fields: Any) -> Any:
        """Send a frame and wait for its `ack`.

        Returns:
            The answer's value.

        Raises:
            RegendError: the daemon refused.
        """
        answer: queue.SimpleQueue[Frame] = queue.SimpleQueue()
        with self._lock:
            self._last_id += 1
            number = self._last_id
            self._answers[number] = answer
        self.send({"op": op, "id": number, **fields})
        reply = answer.get()
        if "error" in reply:
            raise RegendError.from_dict(reply["error"], reply["error"].get("status"))
        return reply["value"]

    def _listen(self) -> None:
        """Take frames until the wire ends or breaks; without it the worker is of no use."""
        reader = FrameReader()
        try:
            while received := os.read(self._read_from, _READ_BYTES):
                for frame in reader.feed(received):
                    self._take(frame)
        except (OSError, RegendError, KeyError):
            logging.exception("the wire to the daemon broke")
        leave_with_group()

    def _take(self, frame: Frame) -> None:
        match frame["op"]:
            case "ack":
                with self._lock:
                    answer = self._answers.pop(frame["id"])
                answer.put(frame)
            case "stop":
                self.stop_reason = frame["reason"]
            case "begin":
                self.begun.put(frame)

    def _beat(self) -> None:
        pause = threading.Event()
        while not pause.wait(HEARTBEAT_INTERVAL_S):
            self.send({"op": "beat"})


def rename_argument(before: str, after: str) -> None:
    """Write `after` over an argument of this process as `ps` shows it. Linux only.

    Args:
        before: the argument as it was given; it marks the place.
        after: of the same length at most.
    """
    if sys.platform != "linux" or len(after.encode()) > len(before.encode()):
        return
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    arguments = ctypes.string_at(start, end - start)
    place = arguments.find(before.encode())
    if place >= 0:
        padded = after.encode().ljust(len(before.encode()), b"\0")
        ctypes.memmove(start + place, padded, len(padded))
