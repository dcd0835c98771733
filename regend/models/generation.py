"""Generation that survives the death of the process that runs it, and goes on at the same token.

Prompting again with the text so far gives other tokens, because prefill and decode differ in the
last bits. So the state itself is saved, and everything that the next token depends on is fixed.
Invariants:
1. Text is generated in segments of `limits.SEGMENT_TOKENS`, each one request of raw token ids to
   one slot; its sampler is seeded with f(seed, tokens before it). A segment that was cut off is
   generated again from its start, and gives the same tokens.
2. The first segment computes the whole prompt: it never builds on what the slot held before.
3. A segment keeps its tokens up to its last whole character; what follows is generated again by
   the next one. So the text of every segment is whole, and so is every checkpoint.
4. A checkpoint is handed out only after the next segment is on its way: it costs no decoding time.
5. What people saw is how the answer begins. Where a repeated attempt would differ (another model,
   no saved slot), it goes on from what was shown and says `reevaluated`.

An answer bound to a JSON Schema runs in one piece, because a grammar cannot go on from the middle;
so does one of a connected server, whose state cannot be saved. They are repeated from the start.

This module runs in the worker: blocking, standard library only.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Literal

from regend import limits
from regend.errors import RegendError, Retryable
from regend.models import prompting
from regend.models.emitter import Diverged, Emitter
from regend.models.hostclient import Closed, HostClient, context_overflow
from regend.models.lease import Lease
from regend.models.onepiece import grammar_request, read_server_stream, server_request
from regend.models.pacing import CheckpointPacer
from regend.models.records import (
    Chunk,
    GenerationCheckpoint,
    GenerationRequest,
    GenerationResult,
    Resumption,
    Shown,
)
from regend.models.slotfile import read_tokens

__all__ = [
    "Chunk",
    "Generation",
    "GenerationCheckpoint",
    "GenerationRequest",
    "GenerationResult",
    "Resumption",
    "Shown",
    "count_prompt_tokens",
    "count_tokens",
    "generate",
    "segment_seed",
]

OnChunk = Callable[[Chunk], None]
OnCheckpoint = Callable[[GenerationCheckpoint, Path], None]
OnResumed = Callable[[Resumption], None]
FinishReason = Literal["stop", "length", "cancelled"]

_CANCEL_POLL_S = 0.05
_LONGEST_SERVER_ANSWER_TOKENS = 4096
_SAMPLING = {"top_k": 40, "min_p": 0.05, "repeat_penalty": 1.0}  # never a build's own default


def generate(
    lease: Lease,
    request: GenerationRequest,
    *,
    on_chunk: OnChunk,
    on_checkpoint: OnCheckpoint,
    cancelled: Callable[[], bool],
    resume: GenerationCheckpoint | None = None,
    slot_file: Path | None = None,
    shown: Shown = Shown(),  # noqa: B008 - a frozen value
    on_resumed: OnResumed | None = None,
) -> GenerationResult:
    """Generate the answer to a request, from its start or from a checkpoint.

    Args:
        on_chunk: called with each piece of text as it comes.
        on_checkpoint: called with each checkpoint and the file of the saved slot, which is the
            callee's from then on: to move or to delete.
        cancelled: asked per token and every 50 ms; when true, the result is what there is, with
            finish reason `cancelled`.
        resume: the last checkpoint of an earlier attempt.
        slot_file: the saved slot that belongs to `resume`, anywhere; it is left in place.
        shown: what people saw of the earlier attempt.
        on_resumed: called before the first chunk when an earlier attempt is taken up.

    Raises:
        BadInput: `context_overflow` naming used and limit, or a malformed request.
        Retryable: `model_host_died`; a next attempt resumes from the last checkpoint.
        RegendError: what the model server answered.
    """
    generation = Generation(lease, request, on_chunk, on_checkpoint, on_resumed)
    return generation.run(resume, slot_file, shown, cancelled)


def count_tokens(lease: Lease, text: str) -> int:
    """Return how many tokens a text has; for a connected server a careful estimate from above."""
    if lease.kind == "openai":
        return len(text.encode()) // 3 + 1
    return len(prompting.tokenize(HostClient(lease), text, begins=False, special=False))


def count_prompt_tokens(lease: Lease, request: GenerationRequest) -> int:
    """Return how many tokens the prompt of a request has, its template included."""
    if lease.kind == "openai":
        contents = [request.prompt or "", *(one["content"] for one in request.messages or ())]
        return sum(count_tokens(lease, content) + 8 for content in contents)
    return len(prompting.prompt_tokens(HostClient(lease), request))


def segment_seed(seed: int, offset: int) -> int:
    """Return the sampler's seed of the segment that begins after `offset` tokens."""
    digest = hashlib.sha256(f"regend segment {seed} {offset}".encode()).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFF_FFFF


class Generation:
    """One attempt at one answer; `run` once, `close` from any thread at any time."""

    def __init__(
        self,
        lease: Lease,
        request: GenerationRequest,
        on_chunk: OnChunk,
        on_checkpoint: OnCheckpoint,
        on_resumed: OnResumed | None = None,
    ) -> None:
        self._lease = lease
        self._request = request
        self._on_chunk = on_chunk
        self._on_checkpoint = on_checkpoint
        self._on_resumed = on_resumed or (lambda resumption: None)
        self._client = HostClient(lease)
        self._started_s = time.monotonic()
        self._pacer = CheckpointPacer(self._started_s)
        self._request_hash = request.digest()
        self._resumption: Resumption | None = None
        self._shown = Shown()
        self._emitter = Emitter(request.stop, self._shown, on_chunk)
        self._prompt: list[int] = []
        self._prompt_count = 0
        self._tokens: list[int] = []
        self._warm = False  # the slot holds this answer's state
        self._segment_tokens = limits.SEGMENT_TOKENS
        self._pending: tuple[GenerationCheckpoint, Path] | None = None

    def close(self) -> None:
        """Stop now: a blocked `run` returns with finish reason `cancelled`."""
        self._client.close()

    def run(
        self,
        resume: GenerationCheckpoint | None,
        slot_file: Path | None,
        shown: Shown,
        cancelled: Callable[[], bool],
    ) -> GenerationResult:
        """Generate; arguments and errors as `generate` tells."""
        self._shown = shown
        self._emitter = Emitter(self._request.stop, shown, self._on_chunk)
        done = threading.Event()
        threading.Thread(target=self._watch, args=(cancelled, done), daemon=True).start()
        try:
            reason = self._run(resume, slot_file)
        except Closed:
            reason = "cancelled"
        finally:
            done.set()
            self._drop_pending()
        if reason != "cancelled":
            self._emitter.finish()
        return GenerationResult(
            text=self._emitter.text,
            finish_reason=reason,
            prompt_tokens=self._prompt_count,
            completion_tokens=self._emitter.tokens,
            resumption=self._resumption,
            checkpoint_cost_s=self._pacer.cost_s,
            elapsed_s=time.monotonic() - self._started_s,
        )

    def _watch(self, cancelled: Callable[[], bool], done: threading.Event) -> None:
        """Close the connection on cancellation, whatever the main thread is waiting for."""
        while not done.wait(_CANCEL_POLL_S):
            if cancelled():
                self.close()
                return

    def _run(self, resume: GenerationCheckpoint | None, slot_file: Path | None) -> FinishReason:
        if self._lease.kind == "openai":
            return self._run_again_from_start(self._run_at_server)
        self._prompt = prompting.prompt_tokens(self._client, self._request)
        self._prompt_count = len(self._prompt)
        if self._prompt_count >= self._lease.context_tokens:
            raise context_overflow(self._prompt_count, self._lease.context_tokens)
        if self._request.schema is not None:
            return self._run_again_from_start(self._run_with_grammar)
        self._take_up(resume, slot_file)
        try:
            return self._run_segments()
        except Diverged:
            self._go_on_from_shown()
            return self._run_segments()

    # In segments

    def _longest(self) -> int:
        """Return how many tokens the answer may have."""
        room = self._lease.context_tokens - self._prompt_count
        wanted = self._request.max_tokens
        return room if wanted is None else min(room, wanted)

    def _run_segments(self) -> FinishReason:
        while (left := self._longest() - len(self._tokens)) > 0:
            reason = self._run_segment(min(self._segment_tokens, left), left)
            if reason is not None:
                return reason
        return "length"

    def _run_segment(self, length: int, left: int) -> FinishReason | None:
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
                if event.get("stop"):
                    return ids, event, False
                fresh = int(event["tokens_predicted"]) - len(ids)
                told = [int(token) for token in event["tokens"]]
                ids.extend([None] * (fresh - len(told)))
                ids.extend(told)
                if self._emitter.add(event["content"], fresh):
                    return ids, None, True
        raise Retryable("model_host_died", "The model host ended its answer too early.")

    def _open_segment(self, length: int) -> Generator[Any, None, None]:
        body = {
            "prompt": self._prompt + self._tokens,
            "n_predict": length,
            "temperature": self._request.temperature,
            "top_p": self._request.top_p,
            **_SAMPLING,
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
        stuck = not ids  # nothing but beginnings of characters
        if stuck or None in ids or self._pacer.is_due(time.monotonic()):
            saved = self._save_slot()
        if stuck or None in ids:
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
            self._emitter.add("\N{REPLACEMENT CHARACTER}", decoded - 1)
            return list(in_slot)
        return [told if told is not None else in_slot[place] for place, told in enumerate(ids)]

    # Checkpoints

    def _save_slot(self) -> Path | None:
        """Save the slot; None where the host cannot (its disk is full)."""
        started_s = time.monotonic()
        name = f"{os.urandom(12).hex()}.slot"
        path = Path(self._lease.slots_dir) / name
        try:
            self._client.call(f"/slots/{self._lease.slot}?action=save", {"filename": name})
        except Retryable:
            raise
        except RegendError:
            path.unlink(missing_ok=True)
            return None
        finally:
            self._pacer.saved(time.monotonic() - started_s)
        return path if path.is_file() else None

    def _checkpoint(self, slot_name: str) -> GenerationCheckpoint:
        return GenerationCheckpoint(
            request_hash=self._request_hash,
            prompt_tokens=self._prompt_count,
            tokens=tuple(self._tokens),
            counted_tokens=self._emitter.tokens,
            text=self._emitter.text,
            released_characters=self._emitter.released_characters,
            released_tokens=self._emitter.released_tokens,
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

    # Taking up an earlier attempt

    def _take_up(self, resume: GenerationCheckpoint | None, slot_file: Path | None) -> None:
        if resume is None or resume.request_hash != self._request_hash:
            if self._shown.tokens:
                self._announce(Resumption("exact", 0))  # the same from the start, or Diverged
            return
        self._segment_tokens = resume.segment_tokens
        if self._fits(resume) and slot_file is not None and self._restore(resume, slot_file):
            self._announce(Resumption("exact", len(resume.tokens)))
            self._tokens = list(resume.tokens)
            self._warm = True
            self._emitter.go_on_from(
                resume.text,
                resume.counted_tokens,
                resume.released_characters,
                resume.released_tokens,
            )
        elif self._shown.text.startswith(resume.text):
            self._go_on_from_shown(resume)
        else:
            self._announce(Resumption("reevaluated", len(resume.tokens)))
            self._tokens = self._tokens_of(resume)
            self._emitter.go_on_from(
                resume.text,
                resume.counted_tokens,
                resume.released_characters,
                resume.released_tokens,
            )

    def _announce(self, resumption: Resumption) -> None:
        self._resumption = resumption
        self._on_resumed(resumption)

    def _fits(self, resume: GenerationCheckpoint) -> bool:
        """Return whether the saved state is of this model, build and machine."""
        lease = self._lease
        return (resume.digest, resume.build, resume.machine, resume.prompt_tokens) == (
            lease.digest,
            lease.build,
            lease.machine,
            self._prompt_count,
        )

    def _restore(self, resume: GenerationCheckpoint, slot_file: Path) -> bool:
        """Load the saved slot into this lease's slot; return whether that worked."""
        name = f"{os.urandom(12).hex()}.restore"
        placed = Path(self._lease.slots_dir) / name
        try:
            _place(slot_file, placed)
            answer = self._client.call(
                f"/slots/{self._lease.slot}?action=restore", {"filename": name}
            )
        except Retryable:
            raise
        except (OSError, RegendError):
            return False  # missing or damaged: the caller evaluates again
        finally:
            placed.unlink(missing_ok=True)
        return int(answer["n_restored"]) >= self._prompt_count + len(resume.tokens) - 1

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
        self._emitter = Emitter(self._request.stop, self._shown, self._on_chunk)
        self._emitter.go_on_from(text, counted, len(text), counted)

    # In one piece

    def _run_again_from_start(self, attempt: Callable[[], FinishReason]) -> FinishReason:
        """Run an attempt that nothing can resume; what was shown stays if it comes out the same."""
        if not self._shown.tokens:
            return attempt()
        if self._shown.text and self._lease.kind == "embedded":
            self._announce(Resumption("exact", 0))
            with contextlib.suppress(Diverged):
                return attempt()
        self._announce(Resumption("restarted", 0))
        self._emitter = Emitter(self._request.stop, Shown(), self._on_chunk)
        return attempt()

    def _run_with_grammar(self) -> FinishReason:
        body = grammar_request(self._request, self._prompt, self._longest(), self._lease.slot)
        seen = 0
        with contextlib.closing(
            self._client.stream("/completion", {**body, **_SAMPLING})
        ) as events:
            for event in events:
                if event.get("stop"):
                    return "stop" if event["stop_type"] == "eos" else "length"
                fresh = int(event["tokens_predicted"]) - seen
                seen += fresh
                if self._emitter.add(event["content"], fresh):
                    return "stop"
        raise Retryable("model_host_died", "The model host ended its answer too early.")

    def _run_at_server(self) -> FinishReason:
        path, body = server_request(self._lease, self._request)
        with contextlib.closing(self._client.stream(path, body)) as events:
            reason, usage = read_server_stream(events, self._emitter)
        self._prompt_count = int(usage.get("prompt_tokens") or 0)
        self._emitter.tokens = int(usage.get("completion_tokens") or self._emitter.tokens)
        return reason


def _place(source: Path, target: Path) -> None:
    """Make a saved slot reachable for the host: a link where possible, else a copy."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)
