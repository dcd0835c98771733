"""The bar of a first sync: what it shows, when it ends, and what Ctrl-C says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest

from regend.cli import progress, syncing
from regend.cli.daemon import Daemon
from regend.cli.failure import INTERRUPTED

Told = dict[str, Any] | None


class Shown:
    """A daemon that shows devices and nothing else."""

    def __init__(self, *states: str) -> None:
        self.states = list(states)

    def get(self, path: str) -> dict[str, Any]:
        assert path == "/devices"
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return {"devices": [{"this": False, "reachable": True, "state": state}]}


def sync(
    behind: int, total: int = 100, *, name: str = "Laptop", payloads: int = 0, came: int = 1000
) -> dict[str, Any]:
    data = {"device": name, "name": name, "behind": behind, "ahead": 0, "total": total}
    data |= {"behind_bytes": behind * 10, "received_bytes": came, "sent_bytes": 0}
    data |= {"payloads": payloads, "done": not (behind or payloads)}
    return {"type": "sync:progress:v1", "data": data}


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that watches told events and returns exit code and what was seen."""
    monkeypatch.setattr(progress, "is_terminal", lambda _stream: True)
    monkeypatch.setattr(progress, "_LEAST_INTERVAL_S", 0.0)
    monkeypatch.setattr(syncing, "_LOOK_S", 0.0)

    def run(told: Sequence[Told | type[BaseException]], *states: str) -> tuple[int, str]:
        def events(_daemon: Daemon, after_seq: int, _tell: Any) -> Iterator[Told]:
            assert after_seq == 7
            for one in told:
                if isinstance(one, type):
                    raise one
                yield one
            raise AssertionError("it did not end")

        monkeypatch.setattr(syncing, "device_events", events)
        code = syncing.watch_first_sync(cast(Daemon, Shown(*(states or ("equal",)))), 7)
        seen = capsys.readouterr()
        assert not seen.out
        return code, seen.err

    return run


def test_it_counts_changes_and_bytes_until_both_are_equal(watch: Any) -> None:
    code, seen = watch([sync(75), sync(25, came=3000), sync(0, came=4000)])
    assert code == 0
    assert "25%  25 of 100 changes, 1.0 kB of about 1.8 kB" in seen
    assert "75%  75 of 100 changes, 3.0 kB of about 3.2 kB" in seen
    assert seen.rstrip("\n").endswith("Up to date with Laptop: 100 changes, 4.0 kB received.")


def test_it_waits_for_all_that_are_met_and_for_the_files(watch: Any) -> None:
    told = [sync(1), sync(50, name="Radio"), sync(0), sync(0, name="Radio", payloads=2)]
    _, seen = watch([*told, sync(0, name="Radio")])
    assert "2 files to come" in seen
    assert "Up to date with Laptop, Radio: 200 changes, 2.0 kB received.\n" in seen


def test_files_that_nobody_has_now_are_not_waited_for(watch: Any) -> None:
    code, seen = watch([None, sync(9), None, sync(0, payloads=1), None])
    assert code == 0 and "1 file will come once a device is reached that has it." in seen


def test_a_device_that_goes_is_named_and_waited_for(watch: Any) -> None:
    gone = {"type": "device:offline:v1", "data": {"device": "Laptop", "name": "Laptop"}}
    _, seen = watch([sync(9), gone, None, sync(0)])
    assert "Laptop is away; it goes on when it is back" in seen


def test_nothing_to_bring_is_said(watch: Any) -> None:
    assert "Up to date with Laptop; there was nothing to bring." in watch([sync(0, 0)])[1]


def test_states_that_differ_are_told_as_a_fault(watch: Any) -> None:
    _, seen = watch([sync(0)], "unknown", "differs")
    assert "Yet their states differ" in seen and "regend diagnostics" in seen


def test_control_c_stops_watching_and_says_that_the_sync_goes_on(watch: Any) -> None:
    code, seen = watch([sync(50), KeyboardInterrupt])
    assert code == INTERRUPTED
    assert "Detached. The sync goes on. How far it is: regend devices list" in seen
    assert "Up to date" not in seen
