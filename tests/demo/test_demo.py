"""The demonstration says what it measured: it fails loudly where a claim does not hold."""

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
from regend.demo import story
from regend.demo.run import Run
from regend.demo.screen import Screen
from regend.home import Home
from tests.embedded_model import embedded_model_home
from tests.library.test_rebinding import APART, may_be_apart

ROOT = Path(__file__).parents[2]


def event(seq: int, text: str = "") -> dict[str, Any]:
    """Return an event as the daemon has it on record."""
    kind = "model:chunk:v1" if text else "job:step:v1"
    data = {"step": 4, "text": text, "offset": seq, "tokens": 1} if text else {"ordinal": 1}
    return {"seq": seq, "job_id": "j", "job_seq": seq, "type": kind, "at": "", "data": data}


def run_of(recorded: list[dict[str, Any]], **more: Any) -> Run:
    steps = [{"ordinal": 1, "name": "plan"}, {"ordinal": 2, "name": "search"}]
    result = {
        "answer": "It removes boilerplate from HTML pages.",
        "citations": [{"title": "jusText"}],
    }
    return Run(
        job_id="j",
        seen=[StreamEvent(**one) for one in recorded],
        recorded=recorded,
        steps=steps,
        result=result,
        **more,
    )


@pytest.fixture
def undisturbed() -> Run:
    return run_of([event(1), event(2, "a "), event(3, "fox")])


@pytest.fixture
def disturbed() -> Run:
    run = run_of([event(1), event(2, "a "), event(3, "fox")])
    run.kept, run.shown_tokens, run.resumed_in_s, run.resume = run.steps[:1], 1, 0.2, "exact"
    return run


def test_a_run_in_which_everything_held_has_no_fault(undisturbed: Run, disturbed: Run) -> None:
    assert undisturbed.faults(None) == []
    assert disturbed.faults(undisturbed) == []


def lose_an_event(run: Run) -> None:
    del run.seen[1]


def repeat_an_event(run: Run) -> None:
    run.seen.append(run.seen[-1])


def leave_a_gap(run: Run) -> None:
    del run.recorded[1], run.seen[1]


def run_a_step_again(run: Run) -> None:
    run.kept = [{"ordinal": 1, "name": "plan", "started_at": "before"}]


def write_another_word(run: Run) -> None:
    run.recorded = [event(1), event(2, "a "), event(3, "hen")]
    run.seen = [StreamEvent(**one) for one in run.recorded]


def answer_otherwise(run: Run) -> None:
    run.result = {**run.result, "answer": "It removes boilerplate from HTML pages, or not."}


def stop_writing(run: Run) -> None:
    run.resumed_in_s = None


def read_again(run: Run) -> None:
    run.resume = "reevaluated"


SPOILED = (
    *(lose_an_event, repeat_an_event, leave_a_gap, run_a_step_again, write_another_word),
    *(answer_otherwise, stop_writing, read_again),
)


@pytest.mark.parametrize("spoil", SPOILED)
def test_a_claim_that_does_not_hold_is_told_and_fails_the_demonstration(
    undisturbed: Run, disturbed: Run, spoil: Callable[[Run], None]
) -> None:
    other = copy.deepcopy(disturbed)
    spoil(disturbed)
    assert disturbed.faults(undisturbed)
    shown = io.StringIO()
    assert not story._verdict(Screen(shown), undisturbed, other, disturbed, 1.0)
    assert "Does not hold: daemon killed" in " ".join(shown.getvalue().split())
    assert "Everything held" not in shown.getvalue()


@pytest.mark.parametrize(
    "result", [{"answer": "I do not know."}, {"citations": [{"title": "another package"}]}]
)
def test_an_answer_without_its_fact_or_its_document_fails_the_demonstration(
    undisturbed: Run, disturbed: Run, result: dict[str, Any]
) -> None:
    for run in (undisturbed, disturbed):
        run.result = {**run.result, **result}
    shown = io.StringIO()
    assert not story._verdict(Screen(shown), undisturbed, disturbed, disturbed, 1.0)
    assert "does not hold the fact" in " ".join(shown.getvalue().split())


def without_a_network(*arguments: str) -> list[str]:
    """Return what runs it with nothing but loopback, where the system lends that."""
    command = [sys.executable, "-m", "regend", "demo", *arguments]
    if not may_be_apart():
        return command
    only_loopback = (
        "import os, sys; from tests.library.elsewhere import give_addresses; give_addresses(); "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    return [*APART, sys.executable, "-c", only_loopback, *command]


@pytest.mark.timeout(400)
def test_the_demonstration_runs_to_its_end_offline_and_everything_holds(tmp_path: Path) -> None:
    embedded_model_home(Home.at(tmp_path / "demo"))
    done = subprocess.run(
        without_a_network(),
        env={**os.environ, "REGEND_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout
    for told in (
        *("worker", "daemon", "SIGKILL", "verified by its SHA-256", "READMEs"),
        *("steps kept", "no gap, no duplicate", "kill to next new token", "Everything held"),
    ):
        assert told in done.stdout, done.stdout
    assert "NO" not in done.stdout.split()
    assert "\x1b" not in done.stdout, "colours are for terminals"
    assert not (tmp_path / "demo" / "daemon.json").exists(), "nothing of it stays running"


def test_what_it_ends_with_can_be_typed_as_it_stands(
    undisturbed: Run, disturbed: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    shown = io.StringIO()
    assert story._verdict(Screen(shown), undisturbed, disturbed, disturbed, 1.0)
    commands = shown.getvalue().partition("Now with your own documents")[2].strip().splitlines()
    activate, *regend = [command.strip() for command in commands]
    assert activate.startswith(". ") and activate.endswith("activate")
    assert [command.split()[1] for command in regend] == ["serve", "models", "library", "research"]


def test_the_demonstration_takes_no_arguments(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "regend", "demo", "fast"],
        env={**os.environ, "REGEND_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 2
    assert not (tmp_path / "demo").exists()
