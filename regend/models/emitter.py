"""Turns the tokens of a model into chunks to show: stop texts held back, nothing shown twice.

Rules:
1. A chunk is made of whole tokens, and its text is never taken back.
2. Text that may be the beginning of a stop text waits until that is decided.
3. An answer that is to stop where it repeats itself ends with the token that shows it.
4. What an earlier attempt showed is not shown again; where it turns out to differ, `Diverged` is
   raised before anything new is shown.
"""

from __future__ import annotations

from collections.abc import Callable

from regend.models.records import Chunk, GenerationRequest, Shown


class Diverged(Exception):
    """A repeated attempt writes other text than the one that people saw."""


_LONGEST_PERIOD = 160  # characters: a sentence or two
_REPEATS = 4
_LEAST_REPEATED = 24  # characters in all: shorter runs stand in rules, tables and laughter


def repeats_itself(text: str) -> bool:
    """Tell whether the end of a text is one piece over and over, several times."""
    end = text[-_LONGEST_PERIOD * _REPEATS :]
    for period in range(1, _LONGEST_PERIOD + 1):
        length = max(period * _REPEATS, _LEAST_REPEATED)
        if length > len(end):
            return False
        if end[-length:-period] == end[period - length :]:
            return True
    return False


class Emitter:
    """Collects the answer's text and hands out its chunks.

    Args:
        request: says at what the answer ends.
        shown: by an earlier attempt.
        on_chunk: shows a chunk.

    Attributes:
        text: the answer so far, with what is held back.
        tokens: number of tokens taken in.
        released_characters: of `text`, decided to be shown.
        released_tokens: of `tokens`, likewise.
    """

    def __init__(
        self, request: GenerationRequest, shown: Shown, on_chunk: Callable[[Chunk], None]
    ) -> None:
        self._stop = tuple(one for one in request.stop if one)
        self._stops_repeating = request.stop_repeating
        self._shown = shown
        self._on_chunk = on_chunk
        self.text = ""
        self.tokens = 0
        self.released_characters = 0
        self.released_tokens = 0

    def go_on_from(
        self, text: str, tokens: int, released_characters: int, released_tokens: int
    ) -> None:
        """Take up the state of a checkpoint; what it released and nobody saw is shown now."""
        self.text = text
        self.tokens = tokens
        self.released_characters = released_characters
        self.released_tokens = released_tokens
        lost = text[len(self._shown.text) : released_characters]
        if lost and self._shown.tokens < released_tokens and self._shown_precedes(text):
            missing = released_tokens - self._shown.tokens
            self._on_chunk(Chunk(lost, self._shown.tokens, missing))

    def _shown_precedes(self, text: str) -> bool:
        """Return whether what was shown is known and is how the text begins."""
        known = bool(self._shown.text) or self._shown.tokens == 0
        return known and text.startswith(self._shown.text)

    def add(self, text: str, tokens: int) -> bool:
        """Take in the text of some tokens; return whether that ended the answer."""
        self.text += text
        self.tokens += tokens
        pending = self.text[self.released_characters :]
        cut = min((at for one in self._stop if (at := pending.find(one)) >= 0), default=-1)
        if cut >= 0:
            self.text = self.text[: self.released_characters + cut]
            self._release()
            return True
        if pending and not self._may_stop(pending):
            self._release()
        if self._stops_repeating and repeats_itself(self.text):
            self._release()
            return True
        return False

    def finish(self) -> None:
        """Show what was held back: the answer ended without a stop text."""
        self._release()

    def _may_stop(self, pending: str) -> bool:
        """Return whether the end of `pending` begins a stop text."""
        return any(
            one.startswith(pending[-length:])
            for one in self._stop
            for length in range(1, min(len(one) - 1, len(pending)) + 1)
        )

    def _release(self) -> None:
        text = self.text[self.released_characters :]
        if not text:
            return
        chunk = Chunk(text, self.released_tokens, self.tokens - self.released_tokens)
        start = self.released_characters
        self.released_characters = len(self.text)
        self.released_tokens = self.tokens
        self._show(chunk, start)

    def _show(self, chunk: Chunk, start: int) -> None:
        """Hand the chunk out, without what was shown before."""
        seen, before = self._shown.tokens, self._shown.text
        if before:
            common = before[start : start + len(chunk.text)]
            if not chunk.text.startswith(common):
                raise Diverged
            rest = chunk.text[len(common) :]
            if rest:
                skipped = min(max(seen - chunk.offset, 0), chunk.tokens) if common else 0
                self._on_chunk(Chunk(rest, chunk.offset + skipped, chunk.tokens - skipped))
        elif chunk.offset + chunk.tokens > seen:
            self._on_chunk(chunk)
