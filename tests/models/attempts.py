"""Runs generations as a worker would, in a thread, and keeps all that they hand out."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from regend.models.generation import (
    Chunk,
    GenerationCheckpoint,
    GenerationRequest,
    GenerationResult,
    Resumption,
    Shown,
    generate,
)
from regend.models.lease import Lease
from regend.models.pool import ModelPool

STORY = GenerationRequest(
    messages=[{"role": "user", "content": "Tell me a long story about a fox and the sea."}],
    max_tokens=72,
    temperature=0.0,
)


@dataclass
class Attempt:
    """What one or several attempts at one answer handed out."""

    chunks: list[Chunk] = field(default_factory=list)
    checkpoint: GenerationCheckpoint | None = None
    slot_file: Path | None = None
    resumptions: list[Resumption] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)
    on_chunk: Callable[[Chunk], None] = lambda chunk: None
    checkpoints: int = 0

    @property
    def text(self) -> str:
        return "".join(chunk.text for chunk in self.chunks)

    @property
    def shown(self) -> Shown:
        if not self.chunks:
            return Shown()
        return Shown(self.chunks[-1].offset + self.chunks[-1].tokens, self.text)

    def keep(self, checkpoint: GenerationCheckpoint, slot_file: Path) -> None:
        if self.slot_file is not None:
            self.slot_file.unlink(missing_ok=True)
        self.checkpoint, self.slot_file = checkpoint, slot_file
        self.checkpoints += 1

    def take(self, chunk: Chunk) -> None:
        self.chunks.append(chunk)
        self.on_chunk(chunk)

    def run_blocking(self, lease: Lease, request: GenerationRequest) -> GenerationResult:
        return generate(
            lease,
            request,
            on_chunk=self.take,
            on_checkpoint=self.keep,
            cancelled=self.cancelled.is_set,
            resume=self.checkpoint,
            slot_file=self.slot_file,
            shown=self.shown,
            on_resumed=self.resumptions.append,
        )

    async def run(self, lease: Lease, request: GenerationRequest) -> GenerationResult:
        return await asyncio.to_thread(self.run_blocking, lease, request)

    def assert_chunks_are_gapless(self) -> None:
        at = 0
        for chunk in self.chunks:
            assert chunk.offset == at and chunk.text
            at += chunk.tokens


async def run_undisturbed(
    pool: ModelPool, request: GenerationRequest
) -> tuple[Attempt, GenerationResult]:
    lease = await pool.acquire("")
    try:
        attempt = Attempt()
        return attempt, await attempt.run(lease, request)
    finally:
        pool.release(lease)


def kill_host(pool: ModelPool) -> None:
    """SIGKILL the one host that runs."""
    (row,) = pool.running()
    os.kill(row["pid"], signal.SIGKILL)
