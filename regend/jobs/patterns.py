"""What a regular expression of a JSON Schema costs the model host that must follow it.

A host follows every way that is still open, for every token that it might write next. Ways multiply
where a repetition stands in another, and where many parts in a row may be left out: then all of
them may come next. Both are counted here, upwards in doubt, whatever the text; whether it is a
valid expression is for its user to say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_REPETITION = re.compile(r"\{([0-9]*)(?:(,)([0-9]*))?\}", re.ASCII)
_GROUP_KIND = re.compile(r"\?(?:[:=!]|<[=!])")
_CLASS = re.compile(r"\[\^?\]?(?:[^\]\\]|\\.)*\]?", re.DOTALL)
_SHORT = {"?": (0, 1), "*": (0, None), "+": (1, None)}
_MUCH = 10**9  # counts stop here


@dataclass(frozen=True, slots=True)
class Cost:
    """What a pattern, or a piece of one, costs.

    Attributes:
        turns: the most that repetitions within one another ask for together.
        skips: parts in a row that may be left out, repetitions unrolled.
        branches: alternatives.
        size: characters to match, repetitions unrolled.
        empty: it may match nothing.
    """

    turns: int = 1
    skips: int = 0
    branches: int = 0
    size: int = 0
    empty: bool = True

    def then(self, other: Cost) -> Cost:
        """Return the cost of both, one after the other."""
        return self._with(other, self.empty and other.empty)

    def alternatively(self, other: Cost) -> Cost:
        """Return the cost of either."""
        return self._with(other, self.empty or other.empty)

    def repeated(self, least: int, most: int | None) -> Cost:
        """Return the cost of several turns; `most` is None where there is no end."""
        times = max(1, least if most is None else most)
        size = min(_MUCH, self.size * times)
        skips = size if self.empty and times > 1 else self.skips + (least == 0)
        turns = min(_MUCH, self.turns * times)
        return Cost(turns, skips, self.branches, size, self.empty or least == 0)

    def _with(self, other: Cost, empty: bool) -> Cost:
        return Cost(
            max(self.turns, other.turns),
            min(_MUCH, self.skips + other.skips),
            self.branches + other.branches,
            min(_MUCH, self.size + other.size),
            empty,
        )


_ONE = Cost(size=1, empty=False)


class _Group:
    """What was read of a group: whole branches, the branch under way, its last piece."""

    def __init__(self) -> None:
        self.before: Cost | None = None
        self.branch = Cost()
        self.last: Cost | None = None

    def add(self, piece: Cost) -> None:
        """Take the next piece of the branch."""
        self._settle()
        self.last = piece

    def repeat(self, least: int, most: int | None) -> None:
        """Repeat the last piece, if there is one."""
        if self.last is not None:
            self.last = self.last.repeated(least, most)

    def begin_branch(self) -> None:
        """Begin an alternative to what was read."""
        self.before = self.whole()
        self.branch, self.last = Cost(branches=1), None

    def whole(self) -> Cost:
        """Return the cost of all that was read."""
        self._settle()
        return self.branch if self.before is None else self.before.alternatively(self.branch)

    def _settle(self) -> None:
        if self.last is not None:
            self.branch, self.last = self.branch.then(self.last), None


def cost_of(pattern: str) -> Cost:
    """Return the cost of a pattern whose numbers are small enough to be read."""
    groups, at = [_Group()], 0
    while at < len(pattern):
        char, group = pattern[at], groups[-1]
        counted = _REPETITION.match(pattern, at) if char == "{" else None
        if char in _SHORT:
            group.repeat(*_SHORT[char])
        elif counted is not None:
            group.repeat(*_turns(counted))
            at = counted.end() - 1
        elif char == "(":
            groups.append(_Group())
            kind = _GROUP_KIND.match(pattern, at + 1)
            at = at if kind is None else kind.end() - 1
        elif char == ")" and len(groups) > 1:
            groups.pop()
            groups[-1].add(group.whole())
        elif char == "|":
            group.begin_branch()
        elif char not in "^$":
            group.add(_ONE)
            at = _end_of(pattern, at)
        at += 1
    while len(groups) > 1:
        whole = groups.pop().whole()
        groups[-1].add(whole)
    return groups[0].whole()


def _turns(counted: re.Match[str]) -> tuple[int, int | None]:
    """Return the least and the most of a repetition in braces."""
    least, comma, most = counted.groups()
    low = int(least.lstrip("0") or "0")
    if not comma:
        return low, low
    return low, int(most.lstrip("0") or "0") if most else None


def _end_of(pattern: str, at: int) -> int:
    """Return the place of the last character of what matches one character."""
    if pattern[at] == "\\":
        return at + 1
    found = _CLASS.match(pattern, at) if pattern[at] == "[" else None
    return at if found is None else found.end() - 1
