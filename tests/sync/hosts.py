"""Hosts for tests: network namespaces of this machine, joined by a bridge in one of their own.

Nothing of it touches the machine's own network. Names carry the process id, and everything goes
when the test ends, however it ends.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from tests.sync.capture import READY

ROOT = Path(__file__).parents[2]
_numbers = count(1)


def require_namespaces() -> None:
    """Skip where there are no network namespaces; with `REGEND_NO_SKIPS=1` that fails."""
    reason = None
    if sys.platform != "linux":
        reason = "network namespaces are Linux's: networks of several hosts are not tested"
    elif os.geteuid() != 0:
        reason = "network namespaces need root: networks of several hosts are not tested"
    elif shutil.which("ip") is None:
        reason = "`ip` (iproute2) is not installed: networks of several hosts are not tested"
    if reason is not None:
        pytest.skip(reason)


def run(*command: str) -> str:
    """Run a command and return what it prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def _sweep() -> None:
    """Remove what a killed run of these tests left."""
    for name in re.findall(r"^rg\d+x\w+", run("ip", "netns", "list"), re.MULTILINE):
        if not Path("/proc", name[2:].partition("x")[0]).exists():
            subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=20)


@dataclass
class Host:
    """One namespace; its first interface is `eth0`.

    Attributes:
        name: of the namespace.
        number: the last byte of its addresses: 10.77.0.NUMBER on the first network.
    """

    name: str
    number: int
    interfaces: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Its IPv4 address on the first network."""
        return f"10.77.0.{self.number}"

    def command(self, *command: str) -> list[str]:
        """Return the command that runs `command` in this host."""
        return ["ip", "netns", "exec", self.name, *command]

    def python(self, module: str, *arguments: str) -> list[str]:
        """Return the command that runs a module of this project in this host."""
        return self.command(sys.executable, "-P", "-W", "error", "-m", module, *arguments)

    def ip(self, *arguments: str) -> str:
        """Run `ip` on this host."""
        return run("ip", "-n", self.name, *arguments)

    def cut(self, interface: str = "eth0") -> None:
        """Take an interface down; the system forgets its IPv6 addresses."""
        self.ip("link", "set", interface, "down")

    def heal(self, interface: str = "eth0") -> None:
        """Bring an interface up again."""
        self.ip("link", "set", interface, "up")

    def link_local(self, interface: str = "eth0") -> str:
        """Return its IPv6 address on an interface."""
        shown = self.ip("-6", "-o", "addr", "show", "dev", interface, "scope", "link")
        return shown.split(" inet6 ")[1].split("/")[0]


class Net:
    """Hosts on one or more bridges; a context that removes all of it.

    Args:
        networks: how many bridges there are; `add` says to which a host belongs.
        searches_duplicates: whether a new IPv6 address is ready only after a second or two, as on
            real networks.
    """

    def __init__(self, networks: int = 1, *, searches_duplicates: bool = False) -> None:
        self._searches_duplicates = searches_duplicates
        self._prefix = f"rg{os.getpid()}x{next(_numbers)}"
        self._middle = f"{self._prefix}m"
        self._networks = networks
        self._names: list[str] = []
        self._children: list[subprocess.Popen[bytes]] = []
        self.hosts: list[Host] = []

    def __enter__(self) -> Net:
        _sweep()
        try:
            self._namespace(self._middle)
            for network in range(self._networks):
                run("ip", "-n", self._middle, "link", "add", f"br{network}", "type", "bridge")
                bridge = ("ip", "-n", self._middle, "link", "set", f"br{network}")
                run(*bridge, "type", "bridge", "mcast_snooping", "0", "forward_delay", "0")
                run(*bridge, "up")
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def add(self, *networks: int, ipv4: bool = True, ipv6: bool = True) -> Host:
        """Add a host with one interface to each of `networks`, by default the first."""
        number = len(self.hosts) + 1
        host = Host(f"{self._prefix}h{number}", number)
        self._namespace(host.name)
        if not ipv6:
            disable = "/proc/sys/net/ipv6/conf/default/disable_ipv6"
            run(*host.command("sh", "-c", f"echo 1 > {disable}"))
        self.hosts.append(host)
        for network in networks or (0,):
            self._plug(host, network, ipv4=ipv4)
        return host

    def stranger(self, network: int = 0) -> Host:
        """Add a host that is nobody's device; it differs in nothing."""
        return self.add(network)

    @contextlib.contextmanager
    def captured(self, file: Path) -> Iterator[None]:
        """Write every packet on the bridges to a file, meanwhile."""
        child = subprocess.Popen(
            [
                *("ip", "netns", "exec", self._middle),
                *(sys.executable, "-P", "-m", "tests.sync.capture", str(file)),
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
        )
        self._children.append(child)
        try:
            assert child.stdout is not None and child.stdout.readline().strip() == READY
            yield
        finally:
            self._end(child)

    def remove(self) -> None:
        """Remove everything."""
        for child in list(self._children):
            self._end(child)
        for name in reversed(self._names):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=20)
        self._names.clear()

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        child.terminate()
        child.wait(10)
        if child.stdout is not None:
            child.stdout.close()
        if child in self._children:
            self._children.remove(child)

    def _namespace(self, name: str) -> None:
        run("ip", "netns", "add", name)
        self._names.append(name)
        for which in ("default", "all") if not self._searches_duplicates else ():
            accept = f"/proc/sys/net/ipv6/conf/{which}/accept_dad"
            run("ip", "netns", "exec", name, "sh", "-c", f"echo 0 > {accept}")
        run("ip", "-n", name, "link", "set", "lo", "up")

    def _plug(self, host: Host, network: int, *, ipv4: bool) -> None:
        interface = f"eth{len(host.interfaces)}"
        port = f"p{host.number}n{network}"
        run(
            *("ip", "-n", self._middle, "link", "add", port, "type", "veth"),
            *("peer", "name", interface, "netns", host.name),
        )
        run("ip", "-n", self._middle, "link", "set", port, "master", f"br{network}", "up")
        if ipv4:
            host.ip("addr", "add", f"10.77.{network}.{host.number}/24", "dev", interface)
        host.ip("link", "set", interface, "up")
        host.interfaces.append(interface)
