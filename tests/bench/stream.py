"""Fan-out: the daemon's stream against a bare aiohttp loop, with the same client program.

    python -m tests.bench stream [--clients 1000] [--seconds 6] [--rounds 3]

Prints, in alternating rounds, latency from making an event to its arrival at 1,000 clients that
get 10 a second; the same with one client that does not read; resident memory of the server; and
deliveries a server processor second to 100 clients, coalesced. Every figure has its ceiling
beside it from the same run. A shared machine makes both slow together: read the ratios, which
are medians over neighbouring runs.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

HELLO = '{"op":"hello","epoch":null,"after_seq":null,"jobs":null}'
SIZE = 200
RATE = 10
_STALL_S = 3


class Process:
    """A child that obeys lines and answers in lines."""

    def __init__(self, *arguments: str) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, line: str) -> None:
        print(line, file=_open(self._child.stdin), flush=True)

    def line(self) -> str:
        line = _open(self._child.stdout).readline()
        assert line, "a process of the benchmark ended"
        return line.strip()

    def close(self) -> None:
        _open(self._child.stdin).close()
        try:
            self._child.wait(10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        _open(self._child.stdout).close()


def _open(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


@contextmanager
def running(kind: str, clients: int) -> Iterator[tuple[Process, Process]]:
    """Start a server and its clients."""
    with tempfile.TemporaryDirectory() as home:
        server = Process("tests.bench._stream_server", kind, home)
        try:
            _, url, token = server.line().split()
            hello = HELLO if kind == "daemon" else ""
            reader = Process("tests.bench._stream_client", url, token, str(clients), hello)
            try:
                assert reader.line() == "ready"
                yield server, reader
            finally:
                reader.close()
        finally:
            server.close()


def measured(server: Process, reader: Process, order: str) -> dict[str, Any]:
    """Run one order and return what server and clients say of it."""
    reader.tell("begin")
    server.tell(order)
    told: dict[str, Any] = json.loads(server.line())
    reader.tell("end")
    return told | {f"seen_{name}": value for name, value in json.loads(reader.line()).items()}


def paced(kind: str, clients: int, seconds: float) -> dict[str, Any]:
    """Measure latency at a steady rate."""
    with running(kind, clients) as (server, reader):
        measured(server, reader, f"pace 1 {RATE} {SIZE}")
        return measured(server, reader, f"pace {seconds} {RATE} {SIZE}")


def stalled(clients: int, rounds: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Measure latency without and with a client that does not read, in turns on one server.

    Before each measurement comes a burst that fills the buffers of whoever does not read, so that
    the hub has it on its hands; a measurement is shorter than the time after which it is closed.
    """
    found: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
    with running("daemon", clients) as (server, reader):
        measured(server, reader, f"pace 1 {RATE} {SIZE}")
        for turn in range(2 * rounds):
            with_one = turn % 2 == 1
            reader.tell("stall" if with_one else "release")
            measured(server, reader, "flood 0.1 16 64000")
            found[with_one].append(measured(server, reader, f"pace {_STALL_S} {RATE} {SIZE}"))
    return found


def flooded(kind: str, clients: int, seconds: float, batch: int) -> dict[str, Any]:
    """Measure deliveries without a pause between events."""
    with running(kind, clients) as (server, reader):
        measured(server, reader, f"flood 1 {batch} {SIZE}")
        found = measured(server, reader, f"flood {seconds} {batch} {SIZE}")
    found["per_cpu_s"] = found["seen_events"] / found["cpu_s"]
    return found


def _middle(rounds: list[dict[str, Any]], name: str) -> float:
    return float(statistics.median(one[name] for one in rounds))


def _ratio(rounds: list[dict[str, Any]], ceiling: list[dict[str, Any]], name: str) -> float:
    """Return the median of the ratios of neighbouring runs, which share the machine's mood."""
    pairs = zip(rounds, ceiling, strict=True)
    return float(statistics.median(one[name] / other[name] for one, other in pairs))


def main(argv: list[str]) -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench stream")
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(argv)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    _print_paced(options.clients, options.seconds, options.rounds)
    _print_flooded(options.seconds, options.rounds)


def _print_paced(clients: int, seconds: float, count: int) -> None:
    kinds: dict[str, list[dict[str, Any]]] = {"bare": [], "daemon": []}
    for _ in range(count):
        for name, found in kinds.items():
            found.append(paced(name, clients, seconds))
    kinds["free"], kinds["stalled"] = stalled(clients, count)
    print(f"{clients} clients, {RATE} events a second each, medians of {count} rounds")
    for name, found in kinds.items():
        p50, p95 = _middle(found, "seen_p50_ms"), _middle(found, "seen_p95_ms")
        lost = sum(one["events"] * clients - one["seen_events"] for one in found)
        print(
            f"  {name:8} p50 {p50:7.1f} ms   p95 {p95:7.1f} ms   "
            f"rss {_middle(found, 'rss_mb'):5.0f} MB   not delivered {lost:.0f}"
        )
    ratio = _ratio(kinds["daemon"], kinds["bare"], "seen_p95_ms")
    print(f"  p95 of the daemon is {ratio:.2f} × the bare loop's (≤ 1.3)")
    change = _ratio(kinds["stalled"], kinds["free"], "seen_p95_ms") - 1
    print(f"  one stalled client changes the others' p95 by {change:+.0%} (< 10 %)")


def _print_flooded(seconds: float, count: int) -> None:
    kinds: dict[str, list[dict[str, Any]]] = {"bare": [], "daemon": []}
    for _ in range(count):
        for name, found in kinds.items():
            found.append(flooded(name, 100, seconds, 256))
    print(f"100 clients, coalesced, medians of {count} rounds (daemon ≥ 800,000)")
    for name, found in kinds.items():
        print(
            f"  {name:8} {_middle(found, 'per_cpu_s'):12,.0f} deliveries a processor second, "
            f"{_middle(found, 'seen_events') / _middle(found, 'seconds'):12,.0f} a second"
        )
