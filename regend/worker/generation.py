"""The context's `generate`: a durable step whose middle is durable too.

While the model writes, text is shown as it comes and checkpoints are saved beside it. An attempt
that takes the step up goes on from the last one; so does this one where the model host
dies under it. Such a death counts only where this job's own request is its likely cause; where it
came by the saved state, no host is given that state again.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from regend import events
from regend.agents.context import Generated
from regend.errors import Retryable
from regend.jobs.frames import Frame
from regend.jsontext import digest, dumps
from regend.limits import SEED_BITS
from regend.models.generation import (
    Chunk,
    GenerationCheckpoint,
    GenerationRequest,
    GenerationResult,
    Resumption,
    Shown,
    count_tokens,
    generate,
)
from regend.models.lease import Lease
from regend.worker.channel import Channel
from regend.worker.runtime import Runtime, Stopped

_HOST_DEATHS = 3  # of model hosts, by one piece of work; what kills more is at fault
_STATE_UNUSABLE = "model_state_unusable"
_LOST = ("model_host_died", _STATE_UNUSABLE)  # what the work goes on after, in another host

T = TypeVar("T")


class GeneratingRuntime(Runtime):
    """A durable context with a model."""

    def __init__(self, channel: Channel, begin: Frame) -> None:
        super().__init__(channel, begin)
        self._lease: Lease | None = None
        self._shown = Shown(begin["shown"]["tokens"], begin["shown"]["text"])
        self._shown_ordinal = begin["shown"]["ordinal"]
        self._checkpoint: dict[str, Any] | None = begin.get("checkpoint")
        self._distrusts_state = False  # of the last checkpoint: a model host came to grief by it

    def generate(
        self,
        name: str,
        *,
        messages: list[dict[str, str]],
        max_tokens: int,
        temperature: float | None = None,
        repeat_penalty: float | None = None,
        schema: dict[str, Any] | None = None,
        stop: Sequence[str] = (),
        stop_repeating: bool = False,
    ) -> Generated:
        """Let the model answer, as the context's contract says."""
        identity = [messages, max_tokens, temperature, schema, list(stop)]
        # Steps that were recorded before there were these do not name them.
        if repeat_penalty not in (None, 1.0):
            identity.append(repeat_penalty)

        def write(ordinal: int, _input_hash: str) -> dict[str, Any]:
            started = time.monotonic()
            request = GenerationRequest(
                messages=messages,
                max_tokens=max_tokens,
                temperature=temperature,
                repeat_penalty=repeat_penalty,
                seed=int(digest([self.seed, ordinal])[:8], 16) >> (32 - SEED_BITS),
                stop=tuple(stop),
                stop_repeating=stop_repeating,
                schema=schema,
            )
            result = self._run(ordinal, request.filled(self._leased().sampling))
            ended = {"finish_reason": result.finish_reason, "usage": result.usage}
            elapsed_s = round(time.monotonic() - started, 3)
            self.emit(events.MODEL_COMPLETE, {"step": ordinal, **ended, "elapsed_s": elapsed_s})
            return {"text": result.text, **ended}

        return Generated(**self.once(name, identity, write))

    def count_tokens(self, text: str) -> int:
        """Return how many tokens the job's model sees in a text."""
        return self._outlive_hosts(lambda: count_tokens(self._leased(), text))

    def _run(self, ordinal: int, request: GenerationRequest) -> GenerationResult:
        """Generate to the end, taking the work up again where a model host dies."""
        writer = _Writer(self.channel, ordinal, self._say_that_it_writes)
        shown = self._shown if self._shown_ordinal == ordinal else Shown()
        begun_at = self._checkpoint
        checkpoint = begun_at if begun_at and begun_at["ordinal"] == ordinal else None
        begun = False

        def write() -> GenerationResult:
            nonlocal checkpoint, shown, begun
            if begun:
                checkpoint = self.call("checkpoint.last", stateless=self._distrusts_state)
                shown = writer.shown(shown)
            begun = True
            return generate(
                self._leased(),
                request,
                on_chunk=writer.on_chunk,
                on_checkpoint=writer.on_checkpoint,
                on_resumed=writer.on_resumed,
                cancelled=lambda: self.channel.stop_reason is not None,
                resume=_resume_from(checkpoint),
                slot_file=_slot(checkpoint),
                shown=shown,
            )

        result = self._outlive_hosts(write)
        if result.finish_reason == "cancelled":
            raise Stopped
        return result

    def _outlive_hosts(self, work: Callable[[], T]) -> T:
        """Do work that needs a model, again where its host dies, by whatever others did to it."""
        deaths = 0
        while True:
            try:
                return work()
            except Retryable as error:
                if error.code not in _LOST:
                    raise
                by_state = error.code == _STATE_UNUSABLE
                is_to_blame = bool(self.call("model.lost", spoilt=by_state))
                self._distrusts_state = by_state and is_to_blame
                deaths += is_to_blame
                if deaths == _HOST_DEATHS:
                    raise
                self._lease = None

    def _say_that_it_writes(self) -> None:
        """Correct what people are told is being done, once the model has read its prompt."""
        percent, step = self._progress
        if step != "the model writes":
            self.progress(percent, "the model writes")

    def _leased(self) -> Lease:
        """Return the right to a model, taken once and held until the attempt ends."""
        if self._lease is None:
            self._lease = Lease.from_dict(self.call("model.acquire", model=self.model))
        return self._lease


class _Writer:
    """Shows and saves what a generation hands out, and keeps count of what was shown.

    Args:
        begun: called before each first piece of text.
    """

    def __init__(self, channel: Channel, ordinal: int, begun: Callable[[], None]) -> None:
        self._channel = channel
        self._ordinal = ordinal
        self._begun = begun
        self._pieces: list[Chunk] = []
        self._void = False

    def on_chunk(self, chunk: Chunk) -> None:
        """Show a piece of text."""
        if not self._pieces:
            self._begun()
        self._pieces.append(chunk)
        self._emit(
            events.MODEL_CHUNK,
            {"text": chunk.text, "offset": chunk.offset, "tokens": chunk.tokens},
        )

    def on_checkpoint(self, checkpoint: GenerationCheckpoint, slot_file: Path) -> None:
        """Hand a checkpoint over to the daemon, which makes it durable beside the stream."""
        self._channel.send(
            {
                "op": "checkpoint",
                "ordinal": self._ordinal,
                "position": checkpoint.counted_tokens,
                "data": dumps(checkpoint.to_dict()),
                "slot_file": slot_file.name,
            }
        )

    def on_resumed(self, resumption: Resumption) -> None:
        """Say how the generation goes on."""
        if resumption.mode == "restarted":
            self._pieces.clear()
            self._void = True
        self._emit(
            events.JOB_RESUMED, {"resume": resumption.mode, "position": resumption.kept_tokens}
        )

    def shown(self, before: Shown) -> Shown:
        """Return what people have seen, given what they had seen before this attempt."""
        start = Shown() if self._void else before
        if not self._pieces:
            return start
        last = self._pieces[-1]
        text = start.text + "".join(piece.text for piece in self._pieces)
        self._pieces.clear()
        self._void = False
        return Shown(last.offset + last.tokens, text)

    def _emit(self, type_name: str, payload: dict[str, Any]) -> None:
        data = {"step": self._ordinal, **payload}
        self._channel.send({"op": "event", "type": type_name, "data": data})


def _resume_from(checkpoint: dict[str, Any] | None) -> GenerationCheckpoint | None:
    """Return what to go on from; none where this program cannot read what another wrote."""
    if checkpoint is None:
        return None
    with contextlib.suppress(ValueError, TypeError, KeyError):
        return GenerationCheckpoint.from_dict(json.loads(checkpoint["data"]))
    return None


def _slot(checkpoint: dict[str, Any] | None) -> Path | None:
    return Path(checkpoint["slot_file"]) if checkpoint and checkpoint["slot_file"] else None
