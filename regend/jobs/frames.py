"""The wire between daemon and worker: msgpack maps, each after its length in four bytes.

Pure: bytes in, frames out. Every frame is a map with the key `op`.

| from the worker | meaning | answered by `ack` |
|---|---|---|
| `hello` | the worker is up | no |
| `beat` | alive | no |
| `event` | something to show, volatile | no |
| `step` | a step finished; its result | after COMMIT |
| `checkpoint` | a place inside a step to go on from | no |
| `call` | a service of the daemon is wanted | with its value |
| `approve` | a person must agree | with the decision, None while it is open |
| `intend`, `receipt` | an effect is about to happen, has happened | after COMMIT |
| `end` | the attempt is over | no |

| from the daemon | meaning |
|---|---|
| `begin` | run this attempt |
| `ack` | answer to the frame with the same `id`: `value` or `error` |
| `stop` | stop at the next checkpoint (`reason`: pause, cancel, shutdown) |
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgpack

from regend.errors import Failed
from regend.limits import MAX_FRAME_BYTES

Frame = dict[str, Any]
_LENGTH_BYTES = 4


def encode(frame: Frame) -> bytes:
    """Return the bytes of one frame.

    Raises:
        Failed: the frame is over the bound, or holds what msgpack cannot carry.
    """
    try:
        body: bytes = msgpack.packb(frame)
    except (TypeError, ValueError, OverflowError) as error:
        raise Failed("frame_invalid", f"A value cannot leave the worker: {error}.") from error
    if len(body) > MAX_FRAME_BYTES:
        raise Failed(
            "frame_too_large", f"A frame of {len(body)} bytes is over {MAX_FRAME_BYTES} bytes."
        )
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


class FrameReader:
    """Cuts a byte stream into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, received: bytes) -> Iterator[Frame]:
        """Take bytes in and yield every frame that is complete.

        Raises:
            Failed: the stream claims a frame over the bound, or holds no frame; it is lost then.
        """
        self._buffer += received
        while len(self._buffer) >= _LENGTH_BYTES:
            length = int.from_bytes(self._buffer[:_LENGTH_BYTES], "big")
            if length > MAX_FRAME_BYTES:
                raise Failed("frame_too_large", f"A frame claims {length} bytes.")
            if len(self._buffer) < _LENGTH_BYTES + length:
                return
            body = bytes(self._buffer[_LENGTH_BYTES : _LENGTH_BYTES + length])
            del self._buffer[: _LENGTH_BYTES + length]
            yield _decode(body)


def _decode(body: bytes) -> Frame:
    try:
        frame = msgpack.unpackb(body)
    except (ValueError, msgpack.exceptions.UnpackException, RecursionError) as error:
        raise Failed("frame_invalid", f"What arrived is no frame: {error}.") from error
    if not isinstance(frame, dict) or not isinstance(frame.get("op"), str):
        raise Failed("frame_invalid", "What arrived is no frame: a map with “op” was expected.")
    return frame
