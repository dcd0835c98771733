"""The demonstration of two devices says what it measured, and fails where a claim does not hold."""

from __future__ import annotations

import copy
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from regend.client import StreamEvent
from regend.demo.devices import share_models
from regend.demo.journey import Journey
from regend.demo.mesh import verdict
from regend.demo.screen import Screen
from regend.home import Home
from tests.demo.test_demo import without_a_network
from tests.embedded_model import embedded_model_home

ROOT = Path(__file__).parents[2]


def chunk(seq: int, offset: int, text: str) -> dict[str, Any]:
    """Return an event of one token of the text, as a daemon has it on record."""
    data = {"step": 1, "text": text, "offset": offset, "tokens": 1}
    return {"seq": seq, "job_id": "j", "job_seq": seq, "type": "model:chunk:v1", "at": "t"} | {
        "data": data
    }


def run_of(recorded: list[dict[str, Any]], taker: str, **more: Any) -> Journey:
    return Journey(
        job_id="j",
        taker=taker,
        seen=[StreamEvent(**one) for one in recorded],
        recorded={"Laptop": recorded, "Phone": copy.deepcopy(recorded)},
        ended_on={"Laptop": taker, "Phone": taker},
        states={"Laptop": "equal", "Phone": "equal"},
        result={"text": "a fox sails"},
        **more,
    )


STORY = [chunk(1, 0, "a "), chunk(2, 1, "fox "), chunk(3, 2, "sails")]


@pytest.fixture
def alone() -> Journey:
    return run_of(copy.deepcopy(STORY), "Laptop")


def moved(how: str) -> Journey:
    told = {"lags_s": [0.01], "shown_tokens": 1, "went_on_in_s": 0.4, "resume": "exact", "how": how}
    return run_of(copy.deepcopy(STORY), "Phone", **told)


def seen_as_recorded(run: Journey, recorded: list[dict[str, Any]]) -> None:
    run.recorded = {"Laptop": recorded, "Phone": recorded}
    run.seen = [StreamEvent(**one) for one in recorded]


def lose_an_event(run: Journey) -> None:
    del run.seen[1]


def repeat_a_token(run: Journey) -> None:
    seen_as_recorded(run, [*STORY[:2], chunk(3, 1, "fox "), chunk(4, 2, "sails")])


def lose_a_token(run: Journey) -> None:
    seen_as_recorded(run, [STORY[0], chunk(2, 2, "sails")])


def write_another_word(run: Journey) -> None:
    seen_as_recorded(run, [*STORY[:2], chunk(3, 2, "swims")])
    run.result = {"text": "a fox swims"}


def keep_another_history(run: Journey) -> None:
    run.recorded["Laptop"][2] = chunk(3, 2, "swims")


def record_another_time(run: Journey) -> None:
    run.recorded["Laptop"][1]["at"] = "another"


def be_of_another_state(run: Journey) -> None:
    run.states["Laptop"] = "differs"


def end_where_it_began(run: Journey) -> None:
    run.ended_on["Phone"] = "Laptop"


def return_another_text(run: Journey) -> None:
    run.result = {"text": "a fox"}


def see_nothing_live(run: Journey) -> None:
    run.lags_s = []


def stop_writing(run: Journey) -> None:
    run.went_on_in_s = None


def read_again(run: Journey) -> None:
    run.resume = "reevaluated"


def be_taken_in_another_way(run: Journey) -> None:
    run.how = "forced"


SPOILED = (
    *(lose_an_event, repeat_a_token, lose_a_token, write_another_word, keep_another_history),
    *(record_another_time, be_of_another_state, end_where_it_began, return_another_text),
    *(see_nothing_live, stop_writing, read_again),
)


def test_runs_in_which_everything_held_have_no_fault(alone: Journey) -> None:
    shown = io.StringIO()
    assert verdict(Screen(shown), alone, moved("forced"), moved("granted"), 1.0)
    assert "Everything held" in shown.getvalue()
    assert "Not measured here" in shown.getvalue()


@pytest.mark.parametrize("spoil", SPOILED)
def test_a_claim_that_does_not_hold_is_told_and_fails_the_demonstration(
    alone: Journey, spoil: Callable[[Journey], None]
) -> None:
    granted = moved("granted")
    spoil(granted)
    assert granted.faults(alone)
    shown = io.StringIO()
    assert not verdict(Screen(shown), alone, moved("forced"), granted, 1.0)
    assert "Does not hold: gave it away" in " ".join(shown.getvalue().split())
    assert "Everything held" not in shown.getvalue()


def test_a_job_that_was_not_taken_as_it_is_told_fails_the_demonstration(alone: Journey) -> None:
    granted = moved("granted")
    be_taken_in_another_way(granted)
    assert not verdict(Screen(io.StringIO()), alone, moved("forced"), granted, 1.0)


def test_tokens_that_came_twice_or_not_at_all_are_counted(alone: Journey) -> None:
    assert alone.wrong_tokens == 0
    repeat_a_token(alone)
    assert alone.wrong_tokens == 1
    lose_a_token(alone)
    assert alone.wrong_tokens == 1


def test_the_second_device_has_the_model_without_a_second_download(tmp_path: Path) -> None:
    share_models(tmp_path / "nowhere", tmp_path / "none")
    source, target = tmp_path / "models", tmp_path / "phone" / "models"
    source.mkdir()
    (source / "one.gguf").write_bytes(b"weights")
    for _ in range(2):
        share_models(source, target)
    assert [(file.name, file.read_bytes()) for file in target.iterdir()] == [
        ("one.gguf", b"weights")
    ]


@pytest.mark.timeout(400)
def test_two_devices_run_to_the_end_offline_and_everything_holds(tmp_path: Path) -> None:
    embedded_model_home(Home.at(tmp_path / "demo"))
    done = subprocess.run(
        without_a_network("--mesh"),
        env={**os.environ, "REGEND_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for told in (
        *("regend devices join", "SIGKILL", "is not reached", "--force", "both are level"),
        *("takeover to next new token", "histories equal", "states equal", "Everything held"),
    ):
        assert told in done.stdout, done.stdout
    assert "NO" not in done.stdout.split()
    assert "\x1b" not in done.stdout, "colours are for terminals"
    for name in ("laptop", "phone"):
        home = tmp_path / "demo" / name
        assert not (home / "daemon.json").exists(), "nothing of it stays running"


def test_the_command_hands_the_choice_on(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "regend", "demo", "--mesh", "fast"],
        env={**os.environ, "REGEND_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 2
    assert not (tmp_path / "demo").exists()
