"""What came from another device, cut into portions, each of which is taken in by itself.

How many changes one has follows from how long the last took here: what is written on this device
meanwhile waits for one portion, and a commit for every change would take far longer than all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from regend.limits import TAKE_IN_S
from regend.sync.replica import Opened

_FEWEST: Final = 16
_MOST: Final = 1024


class Portions:
    """Cuts frames into portions.

    Attributes:
        length: how many changes the next has at most.
    """

    def __init__(self, length: int = 4 * _FEWEST) -> None:
        self.length = length

    def of(self, opened: Iterable[Opened]) -> Iterator[list[Opened]]:
        """Yield frames in their order; of one that is cut, the first part, and then all of it."""
        portion: list[Opened] = []
        room = self.length
        for one in opened:
            end = 0
            while end < len(one.bodies):
                begin, end = end, min(end + room, len(one.bodies))
                portion.append(one._replace(bodies=one.bodies[:end]))
                room -= end - begin
                if not room:
                    yield portion
                    portion, room = [], self.length
        if portion:
            yield portion

    def took(self, seconds: float) -> None:
        """Note how long a full portion took."""
        fitting = self.length * TAKE_IN_S / max(seconds, TAKE_IN_S / 2)
        self.length = min(max(int(fitting), self.length // 2, _FEWEST), _MOST)
