"""A lease: the right to use one slot of one model, as a plain value that crosses to the worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Lease:
    """What a worker needs to generate text; given by `ModelPool.acquire`.

    Attributes:
        id: of this lease.
        kind: `embedded` for a model host of this daemon, `openai` for a connected server.
        model: the name at that server.
        url: base address without a trailing slash.
        api_key: bearer key of that address; may be empty for a connected server.
        slot: the slot that is this lease's alone; -1 for a connected server.
        context_tokens: longest prompt and answer together; 0 where it is not known.
        digest: SHA-256 of the GGUF; empty for a connected server.
        build: llama.cpp's build; saved slots are of use to the same build only.
        machine: kind of processor and threads; last bits of results depend on it.
        slots_dir: folder where the host saves slots; empty for a connected server.
        capabilities: of `chat`, `json_schema`, `tools`, `embeddings`.
        host_id: this life of the model host; empty for a connected server.
        quality: `small`, `medium` or `large`: how far the model's own words may be trusted.
        sampling: what suits the model where a request does not say: `temperature`, `top_p`,
            `repeat_penalty`; empty for a connected server, which knows best itself.
    """

    id: str
    kind: Literal["embedded", "openai"]
    model: str
    url: str
    api_key: str
    slot: int
    context_tokens: int
    digest: str
    build: str
    machine: str
    slots_dir: str
    capabilities: tuple[str, ...]
    host_id: str
    quality: str
    sampling: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the lease as plain values for a frame."""
        return {**asdict(self), "capabilities": list(self.capabilities)}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Lease:
        """Rebuild the lease that `to_dict` described."""
        return Lease(**{**values, "capabilities": tuple(values["capabilities"])})

    def __repr__(self) -> str:
        """Describe the lease without its key, so that no log ever shows it."""
        return f"Lease({self.id}, {self.model}, slot {self.slot} of {self.host_id or self.url})"
