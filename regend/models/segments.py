"""One answer in segments: what makes a resume exact. `generation` states the invariants.

The text of each segment is whole: a segment keeps its tokens up to its last whole character, and
what follows is generated again by the next. The ids of tokens that end inside a character are not
streamed by the server; they are read from the saved slot.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Literal

from regend import limits
from regend.errors import RegendError, Retryable
from regend.models import prompting
from regend.models.emitter import Diverged, Emitter
from regend.models.hostclient import HostClient
from regend.models.lease import Lease
from regend.models.pacing import CheckpointPacer
from regend.models.records import (
    Chunk,
    GenerationCheckpoint,
    GenerationRequest,
    Resumption,
    Shown,
)
from regend.models.slotfile import read_tokens
from regend.models.slots import Slot

# Stated with each request, because a build's own defaults may change. The penalty looks at the last
# tokens of the prompt, which for a segment are those of the segments before it.
SAMPLING = {
    "temperature": 0.8,
    "top_p": 0.95,
    "top_k": 40,
    "min_p": 0.05,
    "repeat_penalty": 1.0,
    "repeat_last_n": 64,
}


def segment_seed(seed: int, offset: int) -> int:
    """Return the sampler's seed of the segment that begins after `offset` tokens."""
    digest = hashlib.sha256(f"regend segment {seed} {offset}".encode()).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFF_FFFF


def longest_answer(lease: Lease, request: GenerationRequest, prompt_tokens: int) -> int:
    """Return how many tokens an answer may have: what was asked, or what the context leaves."""
    room = lease.context_tokens - prompt_tokens
    return room if request.max_tokens is None else min(room, request.max_tokens)


class SegmentedAnswer:
    """An answer on an embedded host that grows by segments and can be taken up again.

    Attributes:
        emitter: holds its text and shows it.
    """

    def __init__(
        self,
        lease: Lease,
        request: GenerationRequest,
        client: HostClient,
        prompt: list[int],
        shown: Shown,
        pacer: CheckpointPacer,
        on_chunk: Callable[[Chunk], None],
        on_checkpoint: Callable[[GenerationCheckpoint, Path], None],
        announce: Callable[[Resumption], None],
    ) -> None:
        self._lease = lease
        self._request = request
        self._request_hash = request.digest()
        self._client = client
        self._slot = Slot(lease, client, pacer)
        self._prompt = prompt
        self._longest = longest_answer(lease, request, len(prompt))
        self._shown = shown
        self._pacer = pacer
        self._on_chunk = on_chunk
        self._on_checkpoint = on_checkpoint
        self._announce = announce
        self._tokens: list[int] = []
        self._warm = False  # the slot holds this answer's state
        self._on_trial = False  # a saved state was given to the host, and no token came since
        self._segment_tokens = limits.SEGMENT_TOKENS
        self._pending: tuple[GenerationCheckpoint, Path] | None = None
        self.emitter = Emitter(request, shown, on_chunk)

    def run(
        self, resume: GenerationCheckpoint | None, slot_file: Path | None
    ) -> Literal["stop", "length"]:
        """Write the answer to its end, from a checkpoint where one fits; return why it ended.

        Raises:
            Retryable: `model_state_unusable`; the host, given the saved state, wrote no token. It
                may have kept some of that state: let it end.
            RegendError: as `generation.generate` tells.
        """
        try:
            return self._run(resume, slot_file)
        except RegendError as error:
            if not self._on_trial:
                raise
            raise Retryable(
                "model_state_unusable",
                f"The model could not go on from its saved state: {error.message}",
                hint="The text is read by the model again, and goes on from there.",
            ) from error

    def _run(
        self, resume: GenerationCheckpoint | None, slot_file: Path | None
    ) -> Literal["stop", "length"]:
        try:
            self._take_up(resume, slot_file)
            try:
                return self._run_segments()
            except Diverged:
                self._go_on_from_shown()
                return self._run_segments()
        finally:
            self._drop_pending()

    def _run_segments(self) -> Literal["stop", "length"]:
        while (left := self._longest - len(self._tokens)) > 0:
            reason = self._run_segment(min(self._segment_tokens, left), left)
            if reason is not None:
                return reason
        return "length"

    def _run_segment(self, length: int, left: int) -> Literal["stop", "length"] | None:
        """Generate one segment and keep it; return why the answer ends, or None."""
        ids, last, stopped = self._read_segment(length)
        if stopped:
            return "stop"
        assert last is not None
        decoded = int(last["tokens_predicted"])
        if last["stop_type"] == "eos":
            return "stop"
        if decoded < length or decoded >= left:
            return "length"
        self._keep(ids, decoded)
        return None

    def _read_segment(self, length: int) -> tuple[list[int | None], Any, bool]:
        """Stream one segment; return its ids up to the last whole character, the last event and
        whether a stop text ended it. An id that the server did not tell is None."""
        ids: list[int | None] = []
        with contextlib.closing(self._open_segment(length)) as events:
            self._hand_out_pending()
            for event in events:
                self._on_trial = False
                if event.get("stop"):
                    return ids, event, False
                fresh = int(event["tokens_predicted"]) - len(ids)
                told = [int(token) for token in event["tokens"]]
                ids.extend([None] * (fresh - len(told)))
                ids.extend(told)
                if self.emitter.add(event["content"], fresh):
                    return ids, None, True
        raise Retryable("model_host_died", "The model host ended its answer too early.")

    def _open_segment(self, length: int) -> Generator[Any, None, None]:
        body = {
            "prompt": self._prompt + self._tokens,
            "n_predict": length,
            **SAMPLING,
            **self._request.sampling,
            "seed": segment_seed(self._request.seed, len(self._tokens)),
            "id_slot": self._lease.slot,
            "cache_prompt": self._warm,
            "return_tokens": True,
            "stream": True,
        }
        events = self._client.stream("/completion", body)
        self._warm = True
        return events

    def _keep(self, ids: list[int | None], decoded: int) -> None:
        """Add a whole segment to the answer and make a checkpoint where one is due."""
        saved = None
        has_untold = not ids or None in ids  # none at all: nothing but beginnings of characters
        if has_untold or self._pacer.is_due(time.monotonic()):
            saved = self._slot.save()
        if has_untold:
            if saved is None:
                raise Retryable(
                    "slot_save_failed",
                    "The state of the model could not be saved.",
                    hint="Check that the disk of the home is not full.",
                )
            ids = self._complete(ids, decoded, saved)
        self._tokens += [token for token in ids if token is not None]
        if saved is not None:
            self._pending = (self._checkpoint(saved.name), saved)

    def _complete(self, ids: list[int | None], decoded: int, saved: Path) -> list[int | None]:
        """Fill in the ids that the server did not tell, from the saved slot."""
        before = len(self._prompt) + len(self._tokens)
        in_slot = read_tokens(saved, self._prompt + self._tokens, before + decoded - 1)[before:]
        if not ids:
            self.emitter.add("\N{REPLACEMENT CHARACTER}", decoded - 1)
            return list(in_slot)
        return [told if told is not None else in_slot[place] for place, told in enumerate(ids)]

    def _checkpoint(self, slot_name: str) -> GenerationCheckpoint:
        return GenerationCheckpoint(
            request_hash=self._request_hash,
            prompt_tokens=len(self._prompt),
            tokens=tuple(self._tokens),
            counted_tokens=self.emitter.tokens,
            text=self.emitter.text,
            released_characters=self.emitter.released_characters,
            released_tokens=self.emitter.released_tokens,
            digest=self._lease.digest,
            build=self._lease.build,
            machine=self._lease.machine,
            segment_tokens=self._segment_tokens,
            slot_file=slot_name,
        )

    def _hand_out_pending(self) -> None:
        if self._pending is not None:
            pending, self._pending = self._pending, None
            self._on_checkpoint(*pending)

    def _drop_pending(self) -> None:
        """Delete a saved slot that nobody will need."""
        if self._pending is not None:
            self._pending[1].unlink(missing_ok=True)
            self._pending = None

    def _take_up(self, resume: GenerationCheckpoint | None, slot_file: Path | None) -> None:
        if resume is None or resume.request_hash != self._request_hash:
            if self._shown.tokens:
                self._announce(Resumption("exact", 0))  # the same from the start, or Diverged
            return
        self._segment_tokens = resume.segment_tokens
        self._warm = self._restore(resume, slot_file)
        if not self._warm and self._shown.text.startswith(resume.text):
            self._go_on_from_shown(resume)
            return
        self._announce(Resumption("exact" if self._warm else "reevaluated", len(resume.tokens)))
        self._tokens = self._tokens_of(resume)
        self.emitter.go_on_from(
            resume.text, resume.counted_tokens, resume.released_characters, resume.released_tokens
        )

    def _fits(self, resume: GenerationCheckpoint) -> bool:
        """Return whether the saved state is of this model, build and machine."""
        lease = self._lease
        return (resume.digest, resume.build, resume.machine, resume.prompt_tokens) == (
            lease.digest,
            lease.build,
            lease.machine,
            len(self._prompt),
        )

    def _restore(self, resume: GenerationCheckpoint, slot_file: Path | None) -> bool:
        """Load a saved slot that fits into this lease's; return whether it holds the answer."""
        if slot_file is None or not self._fits(resume):
            return False
        self._on_trial = True
        held = self._slot.restore(slot_file)
        return held >= len(self._prompt) + len(resume.tokens) - 1

    def _tokens_of(self, resume: GenerationCheckpoint) -> list[int]:
        """Return the checkpoint's tokens in the vocabulary of this model."""
        if resume.digest == self._lease.digest:
            return list(resume.tokens)
        return prompting.tokenize(self._client, resume.text, begins=False, special=False)

    def _go_on_from_shown(self, resume: GenerationCheckpoint | None = None) -> None:
        """Make what was shown the beginning of the answer, computed afresh."""
        text, counted = self._shown.text, self._shown.tokens
        known = self._tokens_of(resume) if resume is not None else []
        rest = text[len(resume.text) :] if resume is not None else text
        fresh = prompting.tokenize(self._client, rest, begins=False, special=False) if rest else []
        self._tokens = known + fresh
        self._warm = False
        self._announce(Resumption("reevaluated", counted))
        self.emitter = Emitter(self._request, self._shown, self._on_chunk)
        self.emitter.go_on_from(text, counted, len(text), counted)
