"""The values of a generation: what is asked, what is shown, what is kept, what comes out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

ResumeMode = Literal["exact", "reevaluated", "restarted"]


@dataclass(frozen=True)
class GenerationRequest:
    """What a caller wants written. Either `messages` or `prompt`, never both.

    How the next token is chosen may be left open (None): a connected server then does as it likes,
    a model host as `segments.SAMPLING` says.

    Attributes:
        messages: a conversation, each with `role` and `content`.
        prompt: plain text to go on from; special tokens in it count as such.
        max_tokens: longest answer; None for what the context leaves.
        temperature: 0 for the likeliest token always.
        top_p: share of the probability that sampling chooses from.
        repeat_penalty: over 1 makes tokens unlikelier that came lately, in prompt or answer.
        seed: the same seed gives the same text.
        stop: texts at which the answer ends; they are not part of it.
        stop_repeating: ends the answer where it only repeats itself.
        schema: JSON Schema that the answer follows; None for free text.
    """

    messages: Sequence[Mapping[str, str]] | None = None
    prompt: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    repeat_penalty: float | None = None
    seed: int = 0
    stop: tuple[str, ...] = ()
    stop_repeating: bool = False
    schema: Mapping[str, Any] | None = None

    def filled(self, usual: Mapping[str, float]) -> GenerationRequest:
        """Return the request with what it leaves open as `usual` says, such as `Lease.sampling`."""
        unsaid: dict[str, Any] = {
            name: value for name, value in usual.items() if name not in self.sampling
        }
        return replace(self, **unsaid)

    @property
    def sampling(self) -> dict[str, float]:
        """What is said of how the next token is chosen, by llama.cpp's names."""
        said = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "repeat_penalty": self.repeat_penalty,
        }
        return {name: value for name, value in said.items() if value is not None}

    def digest(self) -> str:
        """Return a hash of everything that the answer depends on besides the model."""
        values = {
            **asdict(self),
            "messages": None if self.messages is None else [dict(one) for one in self.messages],
            "schema": self.schema if self.schema is None else dict(self.schema),
        }
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Chunk:
    """Text to show now.

    Attributes:
        text: never empty, never cut inside a character.
        offset: tokens of the answer before it.
        tokens: number of tokens that it is made of.
    """

    text: str
    offset: int
    tokens: int


@dataclass(frozen=True)
class Shown:
    """What people saw of an earlier attempt: the sum of its chunks.

    Attributes:
        tokens: the last chunk's offset and tokens together.
        text: all chunks' texts; may be empty where the caller does not keep it, at the price that
            a restart which differs cannot be noticed.
    """

    tokens: int = 0
    text: str = ""


@dataclass(frozen=True)
class GenerationCheckpoint:
    """Where a generation can go on.

    Attributes:
        request_hash: of the request; another request never resumes from here.
        prompt_tokens: length of the prompt.
        tokens: the answer so far as token ids; ends at a whole character.
        counted_tokens: of the answer as people count them; differs from the length of `tokens`
            only after text was tokenised anew.
        text: the answer so far, with what a beginning stop text holds back.
        released_characters: of `text`, shown already.
        released_tokens: of `tokens`, shown already.
        digest: of the model.
        build: llama.cpp's.
        machine: kind of processor and threads.
        segment_tokens: length of a segment; the sampler's seed depends on it.
        slot_file: name of the saved slot; empty where there is none.
    """

    request_hash: str
    prompt_tokens: int
    tokens: tuple[int, ...]
    counted_tokens: int
    text: str
    released_characters: int
    released_tokens: int
    digest: str
    build: str
    machine: str
    segment_tokens: int
    slot_file: str

    def to_dict(self) -> dict[str, Any]:
        """Return the checkpoint as plain values."""
        return {**asdict(self), "tokens": list(self.tokens)}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> GenerationCheckpoint:
        """Rebuild the checkpoint that `to_dict` described, here or in another program.

        Raises:
            ValueError, TypeError, KeyError: these values are none.
        """
        found = GenerationCheckpoint(**{**values, "tokens": tuple(values["tokens"])})
        for name, kind in _KINDS.items():
            if type(getattr(found, name)) is not kind:
                raise TypeError(name)
        counts = [getattr(found, name) for name, kind in _KINDS.items() if kind is int]
        if not all(type(one) is int and one >= 0 for one in (*counts, *found.tokens)):
            raise ValueError("a count or a token that is none")
        if found.segment_tokens == 0 or found.released_characters > len(found.text):
            raise ValueError("a place that no answer comes to")
        return found


_KINDS = {
    **dict.fromkeys(("request_hash", "text", "digest", "build", "machine", "slot_file"), str),
    **dict.fromkeys(("prompt_tokens", "counted_tokens", "segment_tokens"), int),
    **dict.fromkeys(("released_characters", "released_tokens"), int),
}


@dataclass(frozen=True)
class Resumption:
    """How a generation goes on.

    Attributes:
        mode: `exact` (same tokens as undisturbed), `reevaluated` (from the kept text on, with a
            freshly computed state), or `restarted` (from the start; what was shown is void, and
            chunks count from offset 0 again).
        kept_tokens: of the answer.
    """

    mode: ResumeMode
    kept_tokens: int


@dataclass(frozen=True)
class GenerationResult:
    """What came out.

    Attributes:
        text: the whole answer, that of earlier attempts included.
        finish_reason: `stop` (its own end or a stop text), `length` (max_tokens or the context),
            or `cancelled`.
        prompt_tokens: 0 where a connected server does not say.
        completion_tokens: likewise.
        resumption: how it went on from an earlier attempt; None where there was none.
        checkpoint_cost_s: time spent on saving.
        elapsed_s: of this attempt.
    """

    text: str
    finish_reason: Literal["stop", "length", "cancelled"]
    prompt_tokens: int
    completion_tokens: int
    resumption: Resumption | None = None
    checkpoint_cost_s: float = 0.0
    elapsed_s: float = 0.0

    @property
    def usage(self) -> dict[str, int]:
        """The token counts as the OpenAI-compatible object."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }
