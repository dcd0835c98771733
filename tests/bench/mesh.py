"""What a person waits for between two devices: until a job is seen, and until it goes on here.

    python -m tests.bench mesh [--jobs 200] [--moves 10] [--changes 100000]

Two real daemons on two hosts (network namespaces; without root over loopback, which is said), a
client at each. Printed are

- from a submission acknowledged at A to its `job:created` at B's client, while both are idle, and
  while A writes with the embedded model on all cores. The one place for jobs is taken, so what is
  submitted waits and no worker disturbs. The ceiling sends as many bytes as such a job put on the
  network, one way over bare TLS between the same hosts, by two small programs, in the same state of
  the machine. It stores nothing; the mesh has synced to disk on both sides by then.
- from the command at B to B's first new token of a job that A was writing, given by A; every text
  is compared with that of an undisturbed run. The ceiling is a pause and a resume of the same job
  on A: the same stop, the same saved place, no network.
- from a submission at B to its commit, its first event at B's client and its end, while B takes in
  for the first time what A did before, beside the same before they met (`_mesh_beside`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from regend import events
from regend.home import Home
from regend.jobs.journal import join_chunks
from regend.sync.identity import tls_file
from tests.bench import _mesh_beside
from tests.bench._mesh_device import PORT, Device
from tests.embedded_model import embedded_model_home
from tests.sync.hosts import Host, Net

_PAUSE_S = 0.1
_SIZE_BYTES = 1000  # about what a job puts on the network, where that cannot be counted
_WIRE_PORT = 17899
_BUSY = {"prompt": "Write a very long story about the sea.", "max_tokens": 1500, "seed": 1}
_STORY = {
    "prompt": "Tell me a story about a fox who carries a letter across the sea.",
    "max_tokens": 144,
    "temperature": 0.7,
}
_MOVE_AFTER_TOKENS = 48


def main(argv: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench mesh")
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--moves", type=int, default=10)
    parser.add_argument("--changes", type=int, default=100_000)
    parser.add_argument("--only-changes", action="store_true", help="the last part alone")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder, _hosts() as hosts:
        homes = [embedded_model_home(Home.at(Path(folder) / name)) for name in "ABCD"]
        if not options.only_changes:
            asyncio.run(_measure(homes[:2], hosts, options.jobs, options.moves))
        asyncio.run(_mesh_beside.measure(homes[2:], hosts, options.changes, options.jobs))


@contextmanager
def _hosts() -> Iterator[tuple[Host | None, Host | None]]:
    if sys.platform != "linux" or os.geteuid() != 0:
        print("without root: both devices on this host, over loopback")
        yield None, None
        return
    with ExitStack() as opened:
        net = opened.enter_context(Net())
        print("two devices in two network namespaces, joined by a bridge")
        yield net.add(), net.add()


async def _measure(
    homes: list[Home], hosts: tuple[Host | None, Host | None], jobs: int, moves: int
) -> None:
    a, b = Device("A", homes[0], hosts[0], PORT), Device("B", homes[1], hosts[1], PORT + 1)
    async with AsyncExitStack() as running:
        for device in (a, b):
            await device.start()
            running.push_async_callback(device.close)
        invite = await a.ask("POST", "/devices/invite", {})
        address = f"{a.host.address if a.host else '127.0.0.1'}:{invite['port']}"
        await b.ask("POST", "/devices/join", {"code": invite["code"], "address": address})
        for device in (a, b):
            await device.until_shown("/devices", _is_level)
        await _moves(a, b, moves)
        await _seen(a, b, tls_file(homes[1]), jobs)


# Until a job is seen


async def _seen(a: Device, b: Device, certificate: Path, jobs: int) -> None:
    """Measure from a submission at A to B's client, idle and while A writes."""
    nap = {"type": "nap", "input": {"steps": 1, "sleep_s": 600}}
    busy = {"type": "chat", "input": _BUSY, "priority": 10}
    size = _SIZE_BYTES
    for state, taken, limit_ms in (("idle", nap, 150), ("A writes on all cores", busy, 1000)):
        # Texts end when they like; the next one is in line before what is submitted meanwhile.
        line = [(await a.ask("POST", "/jobs", taken))["id"] for _ in range(1 + jobs // 5)]
        place = line[0]
        sign = events.JOB_STATE if taken is nap else events.MODEL_CHUNK
        await b.until(lambda job=place, sign=sign: b.of(job, sign))  # type: ignore[misc]
        before = a.sent_bytes()
        took_ms = [await _submit(a, b) for _ in range(jobs)]
        if taken is nap:  # the model's own text goes over the network too, later
            size = (a.sent_bytes() - before) // jobs or _SIZE_BYTES
        bare_ms = await _bare(a, b, certificate, size, jobs)
        last = await a.ask("GET", f"/jobs/{line[-1]}")
        assert last["state"] == "created", f"{state}: it was over too early"
        print(
            f"{state}: acknowledged at A to seen at B's client, {jobs} jobs: {_told(took_ms)} "
            f"(p95 at most {limit_ms:,} ms); bare TLS one way, {size:,} bytes: {_told(bare_ms)}"
        )
        for job in {event["job"] for event in a.events}:
            await a.call("POST", f"/jobs/{job}/cancel", {})


async def _submit(a: Device, b: Device) -> float:
    """Submit a job that waits; return the ms from its acknowledgement until B's client saw it."""
    await asyncio.sleep(_PAUSE_S * random.uniform(0.5, 1.5))
    told = await a.call("POST", "/jobs", {"type": "chat", "input": {"prompt": "Wait."}})
    job = told["value"]["id"]
    seen = await b.until(lambda: b.of(job, events.JOB_CREATED))
    return float(seen[0]["came_ns"] - told["came_ns"]) / 1e6


async def _bare(a: Device, b: Device, certificate: Path, size: int, jobs: int) -> list[float]:
    """Return how many ms each of as many messages took over TLS alone."""
    address = b.host.address if b.host else "127.0.0.1"
    wire = (sys.executable, "-m", "tests.bench._mesh_wire")
    place = (str(certificate), address, str(_WIRE_PORT), str(size))
    taker = await asyncio.create_subprocess_exec(
        *b.command(*wire, "take", *place), stdout=asyncio.subprocess.PIPE, limit=1 << 24
    )
    assert taker.stdout is not None
    await taker.stdout.readline()
    sender = await asyncio.create_subprocess_exec(
        *a.command(*wire, "send", *place, str(jobs), str(_PAUSE_S))
    )
    took_ms: list[float] = json.loads(await taker.stdout.readline())
    await asyncio.gather(taker.wait(), sender.wait())
    assert len(took_ms) == jobs
    return took_ms


# Until a job goes on


async def _moves(a: Device, b: Device, moves: int) -> None:
    """Measure grants of a job that A is writing, and pauses of the same job on A."""
    took_s, resumed_s, both_s, wrong = [], [], [], 0
    for seed in range(moves):
        story = {"type": "chat", "input": _STORY | {"seed": seed}}
        moved = (await a.ask("POST", "/jobs", story))["id"]
        await _in_mid_sentence(b, moved)
        told = await b.call("POST", f"/jobs/{moved}/takeover", {})
        assert "error" not in told, told
        took_s.append(await _next_token(b, moved, told["asked_ns"]))
        await b.until_shown(f"/jobs/{moved}", _is_completed)

        undisturbed = (await a.ask("POST", "/jobs", story))["id"]
        text = (await a.until_shown(f"/jobs/{undisturbed}", _is_completed))["result"]["text"]
        wrong += _text(b, moved) != text or _wrong_tokens(b, moved) != 0

        job = (await a.ask("POST", "/jobs", story))["id"]
        await _in_mid_sentence(a, job)
        paused = await a.call("POST", f"/jobs/{job}/pause", {})
        await a.until_shown(f"/jobs/{job}", lambda shown: shown["state"] == "paused")
        resumed = await a.call("POST", f"/jobs/{job}/resume", {})
        resumed_s.append(await _next_token(a, job, resumed["asked_ns"]))
        both_s.append(await _next_token(a, job, paused["asked_ns"]))
        await a.until_shown(f"/jobs/{job}", _is_completed)
        assert _text(a, job) == text, "a paused job wrote another text"
    print(
        f"given by A in mid-sentence, {moves} times: from the command at B to B's next new token "
        f"{_times(took_s)} (median at most 3 s), the first with B's model not loaded; texts with "
        f"a token lost or twice: {wrong}"
    )
    print(
        f"the same job paused and resumed on A: from the resume {_times(resumed_s)}, "
        f"from the pause {_times(both_s)}"
    )
    assert not wrong, "a token was lost or came twice"


async def _in_mid_sentence(device: Device, job: str) -> None:
    """Return when a device has seen enough of a text, at no particular place of it."""
    await device.until(lambda: _reached(device.of(job)) >= _MOVE_AFTER_TOKENS)
    await asyncio.sleep(random.uniform(0, 0.5))


async def _next_token(device: Device, job: str, asked_ns: int) -> float:
    """Return the seconds from a command until the first token that is new after it went on."""

    def new() -> float | None:
        seen = device.of(job)
        at = next((n for n, e in enumerate(seen) if e["event"] == events.JOB_RESUMED), None)
        if at is None:
            return None
        before = _reached(seen[:at])
        for event in seen[at:]:
            if _reached([event]) > before:
                return float(event["came_ns"] - asked_ns) / 1e9
        return None

    found: float = await device.until(new)
    return found


def _reached(seen: list[dict[str, Any]]) -> int:
    chunks = [e["data"] for e in seen if e["event"] == events.MODEL_CHUNK]
    return max((one["offset"] + one["tokens"] for one in chunks), default=0)


def _wrong_tokens(device: Device, job: str) -> int:
    reached = wrong = 0
    for event in device.of(job, events.MODEL_CHUNK):
        wrong += abs(event["data"]["offset"] - reached)
        reached = event["data"]["offset"] + event["data"]["tokens"]
    return wrong


def _text(device: Device, job: str) -> str:
    return join_chunks(e["data"] for e in device.of(job, events.MODEL_CHUNK)).text


def _is_completed(shown: Any) -> bool:
    return bool(shown["state"] == "completed")


def _is_level(shown: Any) -> bool:
    devices = shown["devices"]
    return len(devices) > 1 and all(o["reachable"] and o["state"] == "equal" for o in devices)


def _told(took_ms: list[float]) -> str:
    ordered = sorted(took_ms)
    p50, p95 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.95)]
    return f"p50 {p50:.1f} ms, p95 {p95:.1f} ms"


def _times(took_s: list[float]) -> str:
    return f"median {statistics.median(took_s):.2f} s, worst {max(took_s):.2f} s"
