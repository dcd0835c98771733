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
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from regend import limits
from regend.errors import Failed, Retryable
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
from regend.models.segments import SegmentedAnswer, longest_answer

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
]

OnChunk = Callable[[Chunk], None]
OnCheckpoint = Callable[[GenerationCheckpoint, Path], None]
OnResumed = Callable[[Resumption], None]
FinishReason = Literal["stop", "length", "cancelled"]

_CANCEL_POLL_S = 0.05


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
            `model_state_unusable`; a next attempt resumes from it without `slot_file`, on another
            host.
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
        self._resumption: Resumption | None = None
        self._shown = Shown()
        self._emitter = Emitter(request, self._shown, on_chunk)
        self._prompt: list[int] = []
        self._prompt_count = 0
        self._silent_from_s: float | None = None  # while an answer under a schema is awaited
        self._stuck = False

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
        self._emitter = Emitter(self._request, shown, self._on_chunk)
        done = threading.Event()
        threading.Thread(target=self._watch, args=(cancelled, done), daemon=True).start()
        try:
            reason = self._run(resume, slot_file)
        except Closed:
            if self._stuck:
                raise _schema_too_costly() from None
            reason = "cancelled"
        finally:
            done.set()
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
        """Close the connection on cancellation, whatever the main thread is waiting for.

        Likewise where a schema holds the host: what it costs shows only while it is followed.
        """
        while not done.wait(_CANCEL_POLL_S):
            since_s = self._silent_from_s
            self._stuck = (
                since_s is not None and time.monotonic() - since_s > limits.SCHEMA_SILENT_S
            )
            if self._stuck or cancelled():
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
        answer = SegmentedAnswer(
            self._lease,
            self._request,
            self._client,
            self._prompt,
            self._shown,
            self._pacer,
            self._on_chunk,
            self._on_checkpoint,
            self._announce,
        )
        try:
            return answer.run(resume, slot_file)
        finally:
            self._emitter = answer.emitter

    def _announce(self, resumption: Resumption) -> None:
        self._resumption = resumption
        self._on_resumed(resumption)

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
        self._emitter = Emitter(self._request, Shown(), self._on_chunk)
        return attempt()

    def _run_with_grammar(self) -> FinishReason:
        body = grammar_request(
            self._request,
            self._prompt,
            longest_answer(self._lease, self._request, self._prompt_count),
            self._lease.slot,
        )
        seen = 0
        with contextlib.closing(self._client.stream("/completion", body)) as events:
            for event in events:
                self._silent_from_s = time.monotonic()  # the prompt may have taken minutes
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
        self._prompt_count = usage.get("prompt_tokens", 0)
        self._emitter.tokens = usage.get("completion_tokens") or self._emitter.tokens
        return reason


def _schema_too_costly() -> Failed:
    return Failed(
        "schema_too_costly",
        f"The model wrote nothing for {limits.SCHEMA_SILENT_S:.0f} s: too much is possible at one "
        "place of the JSON Schema.",
        hint="Let its alternatives begin differently, or ask for less in one answer.",
        field="schema",
    )
