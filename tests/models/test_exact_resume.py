"""A killed generation goes on at the same token; where it cannot, it says so."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from regend.errors import Retryable
from regend.limits import SEGMENT_TOKENS
from regend.models import prompting
from regend.models.generation import GenerationCheckpoint, GenerationRequest
from regend.models.hostclient import HostClient
from regend.models.pool import ModelPool
from regend.models.segments import SAMPLING
from tests.models.attempts import STORY, Attempt, kill_host, run_undisturbed

SAMPLED = replace(STORY, temperature=0.8, seed=11)
PENALISED = replace(STORY, temperature=0.2, top_p=0.9, repeat_penalty=1.1, seed=7)


class Neighbour:
    """Keeps the other slot decoding until it is told to stop."""

    def __init__(self, pool: ModelPool) -> None:
        self._pool = pool
        self._stop = threading.Event()
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        request = replace(STORY, max_tokens=400, temperature=1.0, seed=5)
        while not self._stop.is_set():
            lease = await self._pool.acquire("")
            attempt = Attempt(cancelled=self._stop)
            try:
                await attempt.run(lease, request)
            except Retryable:
                continue  # the host was killed under both of us
            finally:
                self._pool.release(lease)

    async def end(self) -> None:
        self._stop.set()
        await self._task


async def kill_in_the_middle(
    pool: ModelPool, request: GenerationRequest, after_tokens: int
) -> Attempt:
    """Run until `after_tokens` were shown, then kill the host; return what is left of it."""
    loop = asyncio.get_running_loop()
    lease = await pool.acquire("")
    killed = threading.Event()

    def kill_when_far_enough(chunk: object) -> None:
        if attempt.shown.tokens >= after_tokens and not killed.is_set():
            killed.set()
            loop.call_soon_threadsafe(kill_host, pool)

    attempt = Attempt(on_chunk=kill_when_far_enough)
    with pytest.raises(Retryable) as caught:
        await attempt.run(lease, request)
    assert caught.value.code == "model_host_died"
    pool.release(lease)
    return attempt


@pytest.mark.parametrize(
    "request_", [STORY, SAMPLED, PENALISED], ids=["greedy", "sampled", "penalised"]
)
async def test_a_killed_host_costs_no_token_also_beside_a_busy_slot(
    pool: ModelPool, request_: GenerationRequest
) -> None:
    _, undisturbed = await run_undisturbed(pool, request_)
    neighbour = Neighbour(pool)
    attempt = await kill_in_the_middle(pool, request_, 40)
    seen = attempt.text
    assert 0 < attempt.shown.tokens < undisturbed.completion_tokens

    lease = await pool.acquire("")
    result = await attempt.run(lease, request_)
    pool.release(lease)
    await neighbour.end()

    assert attempt.resumptions[0].mode == "exact" and attempt.resumptions[0].kept_tokens >= 16
    assert result.text == undisturbed.text == attempt.text
    assert attempt.text.startswith(seen)
    attempt.assert_chunks_are_gapless()


async def test_a_penalty_sees_what_came_before_its_segment_as_in_one_request(
    pool: ModelPool,
) -> None:
    penalised = replace(STORY, repeat_penalty=1.2)
    _, in_segments = await run_undisturbed(pool, penalised)
    _, without_penalty = await run_undisturbed(pool, STORY)
    lease = await pool.acquire("")
    client = HostClient(lease)
    body = {
        **SAMPLING,
        **penalised.sampling,
        "prompt": prompting.prompt_tokens(client, penalised),
        "n_predict": penalised.max_tokens,
        "id_slot": lease.slot,
        "cache_prompt": False,
    }
    in_one = await asyncio.to_thread(client.call, "/completion", body)
    pool.release(lease)
    assert in_one["tokens_predicted"] == in_segments.completion_tokens > 3 * SEGMENT_TOKENS
    assert in_segments.text == in_one["content"] != without_penalty.text


async def test_an_answer_goes_on_in_another_slot_of_a_living_host(pool: ModelPool) -> None:
    _, undisturbed = await run_undisturbed(pool, SAMPLED)
    first = await pool.acquire("")
    attempt = Attempt()

    def stop_when_far_enough(chunk: object) -> None:
        if attempt.shown.tokens >= 40:
            attempt.cancelled.set()

    attempt.on_chunk = stop_when_far_enough
    assert (await attempt.run(first, SAMPLED)).finish_reason == "cancelled"
    second = await pool.acquire("")
    assert second.slot != first.slot
    attempt.cancelled.clear()
    attempt.on_chunk = lambda chunk: None
    result = await attempt.run(second, SAMPLED)
    assert attempt.resumptions[0].mode == "exact"
    assert result.text == undisturbed.text == attempt.text
    pool.release(first)
    pool.release(second)


async def test_a_missing_slot_file_is_reevaluated_and_what_was_shown_stays(pool: ModelPool) -> None:
    attempt = await kill_in_the_middle(pool, SAMPLED, 40)
    seen = attempt.text
    assert attempt.slot_file is not None
    attempt.slot_file.unlink()
    lease = await pool.acquire("")
    result = await attempt.run(lease, SAMPLED)
    pool.release(lease)
    assert [one.mode for one in attempt.resumptions] == ["reevaluated"]
    assert result.text == attempt.text and result.text.startswith(seen)
    attempt.assert_chunks_are_gapless()


async def test_a_damaged_slot_file_is_reevaluated(pool: ModelPool) -> None:
    attempt = await kill_in_the_middle(pool, STORY, 40)
    assert attempt.slot_file is not None
    attempt.slot_file.write_bytes(attempt.slot_file.read_bytes()[:5000])
    lease = await pool.acquire("")
    result = await attempt.run(lease, STORY)
    pool.release(lease)
    assert [one.mode for one in attempt.resumptions] == ["reevaluated"]
    assert result.text == attempt.text


@pytest.mark.parametrize("field", ["digest", "build", "machine"])
async def test_a_state_of_another_model_build_or_machine_is_never_restored(
    pool: ModelPool, field: str
) -> None:
    attempt = await kill_in_the_middle(pool, STORY, 20)
    assert attempt.checkpoint is not None
    foreign = {**attempt.checkpoint.to_dict(), field: "another"}
    attempt.checkpoint = GenerationCheckpoint.from_dict(foreign)
    lease = await pool.acquire("")
    result = await attempt.run(lease, replace(STORY))
    pool.release(lease)
    assert [one.mode for one in attempt.resumptions] == ["reevaluated"]
    assert result.text == attempt.text


async def test_a_checkpoint_of_another_request_is_not_used(pool: ModelPool) -> None:
    attempt = await kill_in_the_middle(pool, STORY, 20)
    other = replace(STORY, messages=[{"role": "user", "content": "What is a bee?"}])
    fresh = Attempt(checkpoint=attempt.checkpoint, slot_file=attempt.slot_file)
    lease = await pool.acquire("")
    result = await fresh.run(lease, other)
    pool.release(lease)
    assert fresh.resumptions == []
    assert result.text == (await run_undisturbed(pool, other))[1].text


async def test_an_answer_killed_before_its_first_checkpoint_is_written_again_the_same(
    pool: ModelPool,
) -> None:
    _, undisturbed = await run_undisturbed(pool, SAMPLED)
    attempt = await kill_in_the_middle(pool, SAMPLED, 5)
    assert attempt.checkpoint is None
    lease = await pool.acquire("")
    result = await attempt.run(lease, SAMPLED)
    pool.release(lease)
    assert result.text == undisturbed.text == attempt.text
    attempt.assert_chunks_are_gapless()


async def test_no_saved_slot_is_left_behind_by_an_answer_that_ended(pool: ModelPool) -> None:
    attempt, _ = await run_undisturbed(pool, STORY)
    lease = await pool.acquire("")
    left = [path.name for path in pool._home.slots_dir.iterdir()]
    pool.release(lease)
    assert attempt.slot_file is not None and left == [attempt.slot_file.name]
