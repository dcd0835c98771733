"""What not every system has is used in few places, and each knows how the others do without."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "regend").rglob("*.py"))

# Missing on Windows, or something else there: `os.kill` ends a process whatever the signal, and
# what `os.open` opens is text unless it is told otherwise.
SCARCE = {
    "os": {
        *("kill", "killpg", "fork", "forkpty", "setsid", "setpgid", "getpgrp", "getppid", "wait"),
        *("getuid", "geteuid", "getgid", "chown", "fchown", "fchmod", "sysconf", "nice", "mkfifo"),
        *("sched_getaffinity", "open", "O_NONBLOCK", "O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC"),
        *("O_ASYNC", "pipe2", "statvfs", "getloadavg", "set_blocking", "sendfile", "fdatasync"),
    },
    "signal": {"SIGKILL", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCHLD", "alarm", "pause"},
    "socket": {"AF_UNIX", "SO_REUSEADDR", "SO_REUSEPORT", "socketpair"},
}
SCARCE_MODULES = {"fcntl", "grp", "msvcrt", "pwd", "readline", "resource", "termios", "tty"}
SCARCE_METHODS = {"add_reader", "add_writer", "add_signal_handler"}

ALLOWED = {
    "regend/processes.py": "is there to tell systems apart",
    "regend/lifeline.py": "Linux only; elsewhere children see their input end",
    "regend/home.py": "a lock of each system's own",
    "regend/store/lock.py": "a lock of each system's own",
    "regend/store/files.py": "as an `opener`, with what `open` asks for; folders not on Windows",
    "regend/cli/serve.py": "as an `opener`",
    "regend/cli/root.py": "the null device",
    "regend/cli/failure.py": "the null device",
    "regend/worker/channel.py": "the null device",
    "regend/cli/chat.py": "goes without line editing",
    "regend/cli/checks.py": "asks for the system first",
    "regend/daemon.py": "asks for the system first",
    "regend/sync/doorstep.py": "asks for the system first",
    "regend/library/extractor.py": "is bounded by the daemon where the system cannot",
    "regend/models/planning.py": "has a guess where it cannot ask",
    "regend/models/hosting.py": "only where there is a /proc",
}


def scarce(module: str) -> Iterator[str]:
    for node in ast.walk(ast.parse((ROOT / module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            if node.attr in SCARCE.get(owner, ()) or node.attr in SCARCE_METHODS:
                yield f"{module}:{node.lineno} {owner}.{node.attr}"
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            yield from (
                f"{module}:{node.lineno} {name}" for name in names if name in SCARCE_MODULES
            )


@pytest.mark.parametrize("module", MODULES)
def test_what_some_system_lacks_is_used_only_where_that_is_known(module: str) -> None:
    found = list(scarce(module))
    assert not found or module in ALLOWED, found
    assert found or module not in ALLOWED, f"{module} needs no exception any more"
