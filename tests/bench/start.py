"""What a start costs, and what a daemon costs that does nothing.

Run as `python -m tests.bench start [--times N] [--idle-seconds S]`.

Commands are given as ratios to `python -c pass` of the same minute, each the median of alternating
pairs. The idle daemon is watched through /proc (Linux), workers and all.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.crash.house import ROOT

_REGEND = str(Path(sys.executable).with_name("regend"))
_MIB = 1024 * 1024


def main(argv: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench start")
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--idle-seconds", type=float, default=10.0)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "REGEND_HOME": home, "PYTHONPATH": str(ROOT)}
        daemon, ready = _serve(environment, Path(home))
        print(f"daemon ready: {ready:.2f} s (at most 1)")
        try:
            _compare("regend --help", ["--help"], 5, options.times, environment)
            _compare("regend jobs list", ["jobs", "list"], 8, options.times, environment)
            _watch(daemon.pid, options.idle_seconds)
        finally:
            daemon.terminate()
            daemon.wait()


def _serve(environment: dict[str, str], home: Path) -> tuple[subprocess.Popen[bytes], float]:
    """Start a daemon; return it with the median seconds until it answers, of three starts."""
    taken = []
    for last in (False, False, True):
        started = time.perf_counter()
        daemon = subprocess.Popen(
            [_REGEND, "serve", "--port", "0"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while not (home / "daemon.json").exists():
            assert daemon.poll() is None, "the daemon did not start"
            time.sleep(0.005)
        taken.append(time.perf_counter() - started)
        if not last:
            daemon.terminate()
            daemon.wait()
    return daemon, statistics.median(taken)


def _compare(
    name: str, arguments: list[str], wanted: float, times: int, environment: dict[str, str]
) -> None:
    def run(command: list[str]) -> Callable[[], float]:
        def measure() -> float:
            started = time.perf_counter()
            subprocess.run(command, env=environment, check=True, capture_output=True)
            return time.perf_counter() - started

        return measure

    bare, ours = run([sys.executable, "-c", "pass"]), run([_REGEND, *arguments])
    pairs = [(bare(), ours()) for _ in range(times)]
    ratio = statistics.median(o / b for b, o in pairs)
    print(
        f"{name}: {statistics.median(o for _, o in pairs) * 1000:.0f} ms; python -c pass: "
        f"{statistics.median(b for b, _ in pairs) * 1000:.0f} ms; "
        f"median ratio {ratio:.1f} (at most {wanted:.0f})"
    )


def _watch(pid: int, seconds: float) -> None:
    time.sleep(3)  # the warm worker has started
    before = _cpu_s(pid)
    time.sleep(seconds)
    share = (_cpu_s(pid) - before) / seconds
    print(f"idle daemon: {_rss_mib(pid):.0f} MiB RSS (at most 90), {share:.2%} CPU (under 0.5 %)")
    for child in _children(pid):
        print(f"  its child {_name(child)}: {_rss_mib(child):.0f} MiB RSS")


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _rss_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / _MIB


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in text.split()]


def _name(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return b" ".join(words[-3:]).decode(errors="replace").strip()
