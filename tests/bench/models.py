"""Measures generation through `generate` beside the bare model host of the same minute.

`python -m tests.bench models [--tries N] [--pairs N] [--threads N]`

- exact resume: N times greedy and N times sampled, the host killed (or left alive) at a random
  token while the other slot decodes; same tokens as undisturbed, and the time from the restart to
  the first token that nobody had seen.
- tokens a second and time to first token in alternating pairs with one bare request: the ceiling.
- the share of time that checkpoints take.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import random
import statistics
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from regend.clock import SystemClock
from regend.config import Config, ModelsConfig
from regend.errors import RegendError, Retryable
from regend.home import Home
from regend.models import prompting
from regend.models.generation import GenerationRequest
from regend.models.hostclient import HostClient
from regend.models.lease import Lease
from regend.models.pool import ModelPool
from tests.embedded_model import embedded_model_home
from tests.models.attempts import Attempt, kill_host

STORY = GenerationRequest(
    messages=[{"role": "user", "content": "Tell me a long story about a fox and the sea."}],
    max_tokens=128,
    temperature=0.0,
)


def main(argv: list[str]) -> None:
    """Run all measurements and print them."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench models")
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=0, help="0: as in production")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        home = embedded_model_home(Home.at(Path(folder)))
        asyncio.run(_measure(home, options))


async def _measure(home: Home, options: argparse.Namespace) -> None:
    config = Config(models=ModelsConfig(discover=False, threads=options.threads))
    pool = ModelPool(home, config, SystemClock())
    try:
        await _measure_speed(pool, options.pairs)
        for name, request in (
            ("greedy", STORY),
            ("sampled", replace(STORY, temperature=0.8, seed=11)),
        ):
            for kills in (True, False):
                await _measure_resume(pool, name, request, kills, options.tries)
    finally:
        await pool.close()


# Speed


async def _measure_speed(pool: ModelPool, pairs: int) -> None:
    rates: list[float] = []
    firsts: list[float] = []
    costs: list[float] = []
    own_rates: list[float] = []
    bare_rates: list[float] = []
    lease = await pool.acquire("")
    await asyncio.to_thread(_bare, lease, STORY)  # warm
    for pair in range(pairs):
        order = [True, False] if pair % 2 else [False, True]
        measured = {}
        for own in order:
            measured[own] = await asyncio.to_thread(_own if own else _bare, lease, STORY)
        (own_rate, own_first, cost), (bare_rate, bare_first, _) = measured[True], measured[False]
        rates.append(own_rate / bare_rate)
        firsts.append(own_first - bare_first)
        costs.append(cost)
        own_rates.append(own_rate)
        bare_rates.append(bare_rate)
    pool.release(lease)
    print(
        f"tokens/s: generate {statistics.median(own_rates):.1f}, "
        f"bare host {statistics.median(bare_rates):.1f}, "
        f"median of {pairs} ratios {100 * statistics.median(rates):.1f} % (target >= 95 %)"
    )
    print(
        f"added time to first token: median {1000 * statistics.median(firsts):.1f} ms "
        "(target <= 50 ms)"
    )
    print(f"checkpoints: median {100 * statistics.median(costs):.2f} % of the time (target < 3 %)")


def _own(lease: Lease, request: GenerationRequest) -> tuple[float, float, float]:
    """Return tokens a second, seconds to the first token and the share of checkpoints."""
    times: list[float] = []
    attempt = Attempt(on_chunk=lambda chunk: times.append(time.perf_counter()))
    started = time.perf_counter()
    result = attempt.run_blocking(lease, request)
    ended = time.perf_counter()
    if attempt.slot_file is not None:
        attempt.slot_file.unlink()
    rate = (result.completion_tokens - 1) / (ended - times[0])
    return rate, times[0] - started, result.checkpoint_cost_s / result.elapsed_s


def _bare(lease: Lease, request: GenerationRequest) -> tuple[float, float, float]:
    """The same answer in one bare request to the host."""
    prompt = prompting.prompt_tokens(HostClient(lease), request)
    body = {
        "prompt": prompt,
        "n_predict": request.max_tokens,
        "temperature": request.temperature,
        "id_slot": lease.slot,
        "cache_prompt": False,
        "stream": True,
    }
    parts = urlsplit(lease.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
    headers = {"Authorization": f"Bearer {lease.api_key}", "Content-Type": "application/json"}
    started = time.perf_counter()
    first = 0.0
    last: Any = {}
    connection.request("POST", "/completion", json.dumps(body), headers)
    for line in connection.getresponse():
        if line.startswith(b"data: "):
            first = first or time.perf_counter()
            last = json.loads(line[6:])
    connection.close()
    rate = (last["tokens_predicted"] - 1) / (time.perf_counter() - first)
    return rate, first - started, 0.0


# Resume


async def _measure_resume(
    pool: ModelPool, name: str, request: GenerationRequest, kills: bool, tries: int
) -> None:
    same = exact = 0
    waits: list[float] = []
    chance = random.Random(7)
    for number in range(tries):
        one = replace(request, seed=request.seed + number, max_tokens=48)
        if request.temperature == 0:
            topic = ("a fox", "the sea", "a lamp", "two sisters", "rain")[number % 5]
            text = f"Tell story number {number} about {topic}."
            one = replace(one, messages=[{"role": "user", "content": text}])
        undisturbed = await _run(pool, Attempt(), one)
        neighbour_stop = threading.Event()
        neighbour = asyncio.create_task(_keep_busy(pool, neighbour_stop))
        attempt = await _interrupt(pool, one, chance.randint(3, 44), kills)
        wait_s, text = await _resume(pool, attempt, one)
        neighbour_stop.set()
        await neighbour
        same += text == undisturbed
        exact += any(r.mode == "exact" for r in attempt.resumptions) or not attempt.resumptions
        waits.append(wait_s)
    fate, target = ("killed", 1.5) if kills else ("alive", 0.5)
    print(
        f"resume, {name}, host {fate}: same text {same}/{tries}, exact {exact}/{tries}, "
        f"first new token median {statistics.median(waits):.2f} s, worst {max(waits):.2f} s "
        f"(target <= {target} s)",
        flush=True,
    )


async def _run(pool: ModelPool, attempt: Attempt, request: GenerationRequest) -> str:
    lease = await pool.acquire("")
    try:
        return (await attempt.run(lease, request)).text
    finally:
        pool.release(lease)


async def _keep_busy(pool: ModelPool, stop: threading.Event) -> None:
    request = replace(STORY, max_tokens=400, temperature=1.0, seed=5)
    while not stop.is_set():
        try:
            await _run(pool, Attempt(cancelled=stop), request)
        except Retryable:
            continue  # its host was killed


async def _interrupt(
    pool: ModelPool, request: GenerationRequest, after_tokens: int, kills: bool
) -> Attempt:
    """Run until some tokens were shown, then kill the host or hang up."""
    loop = asyncio.get_running_loop()
    reached = threading.Event()

    def watch(chunk: object) -> None:
        if attempt.shown.tokens >= after_tokens and not reached.is_set():
            reached.set()
            if kills:
                loop.call_soon_threadsafe(kill_host, pool)
            else:
                attempt.cancelled.set()

    attempt = Attempt(on_chunk=watch)
    with contextlib.suppress(RegendError):  # the host died, as it should
        await _run(pool, attempt, request)
    attempt.cancelled.clear()
    return attempt


async def _resume(
    pool: ModelPool, attempt: Attempt, request: GenerationRequest
) -> tuple[float, str]:
    """Return the time to the first token that was not seen before, and the whole text."""
    started = time.perf_counter()
    first: list[float] = []
    attempt.on_chunk = lambda chunk: first.append(time.perf_counter())
    text = await _run(pool, attempt, request)
    return (first[0] if first else time.perf_counter()) - started, text
