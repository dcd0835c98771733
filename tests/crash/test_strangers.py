"""Strangers on the network: a daemon under their flood serves its person and keeps its links."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from regend.sync.tls import member_context, newcomer_context
from tests.crash.house import House
from tests.crash.household import Household
from tests.crash.test_volume import memory_of
from tests.sync.devices import make_device
from tests.sync.lan import UPGRADE, request

_STRANGERS = 24
_BOUND_MIB = 100  # of a daemon's memory: it stays at 75 however long they come, alone it is 72
_FOUR_GB = bytes([0x82, 0xFF]) + (1 << 32).to_bytes(8, "big") + bytes(4)


def contexts(folder: Path) -> list[ssl.SSLContext]:
    """Return how strangers come: without a certificate, and with one of their own."""
    outsider, other = make_device(folder / "outsider"), make_device(folder / "other")
    own = member_context(outsider.credentials, other.certificate)
    own.check_hostname, own.verify_mode = False, ssl.CERT_NONE
    return [newcomer_context(), own]


def visit(port: int, context: ssl.SSLContext | None, said: list[bytes]) -> None:
    """Connect, say things and listen until one is hung up on."""
    with contextlib.suppress(OSError):
        connection = socket.create_connection(("127.0.0.1", port), timeout=5)
        with connection:
            wrapped = connection if context is None else context.wrap_socket(connection)
            with wrapped:
                for message in said:
                    wrapped.sendall(message)
                while wrapped.recv(65536):
                    pass


@contextlib.contextmanager
def flood(port: int, folder: Path) -> Iterator[list[int]]:
    """Let strangers come again and again; lend what notes each visit that is over."""
    none, own = contexts(folder)
    sayings = [
        (None, [b"\x16\x03\x01" + b"\xff" * 60_000]),
        (None, []),
        (none, [request("/mesh", *UPGRADE), _FOUR_GB, b"x" * 100_000]),
        (none, [request("/pair", *UPGRADE), _FOUR_GB, b"x" * 100_000]),
        (own, [request("/mesh", *UPGRADE), _FOUR_GB, b"x" * 100_000]),
        (none, [b"GET / HTTP/1.1\r\nX: " + b"y" * 1_000_000]),
    ]

    stopped = threading.Event()
    visits: list[int] = []

    def keep_coming(number: int) -> None:
        while not stopped.is_set():
            number += 1
            visit(port, *sayings[number % len(sayings)])
            visits.append(number)

    threads = [threading.Thread(target=keep_coming, args=(n,)) for n in range(_STRANGERS)]
    for thread in threads:
        thread.start()
    try:
        yield visits
    finally:
        stopped.set()
        for thread in threads:
            thread.join(60)


def completed(house: House, job: str) -> bool:
    status, shown = house.ask("GET", f"/jobs/{job}")
    return status == 200 and shown["state"] == "completed"


@pytest.mark.timeout(180)
def test_a_flood_of_strangers_keeps_nobody_from_anything(tmp_path: Path) -> None:
    household = Household(tmp_path)
    one, two = household.houses
    try:
        household.pair().until_level()
        # An invite is open: strangers may knock at it too.
        port = one.call("POST", "/devices/invite", {})["port"]
        with flood(port, tmp_path) as visits:
            job = one.call("POST", "/jobs", {"type": "count", "input": {"steps": 4}})["id"]
            household.until(lambda: completed(one, job) and completed(two, job))
            two.kill()
            two.start()  # who comes back gets in between them
            household.until_level()
            household.until(lambda: len(visits) > 10 * _STRANGERS)
        told = json.loads(one.home.daemon_file.read_text(encoding="utf-8"))
        assert memory_of(told["pid"]) < _BOUND_MIB
        assert {device["name"] for device in one.call("GET", "/devices")["devices"]} == {
            "one",
            "two",
        }
        household.until_level()
    finally:
        household.close()
