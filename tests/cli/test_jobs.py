"""Jobs from the command line: started once, listed, steered, resumed, decided on."""

from __future__ import annotations

import json
import signal

import pytest

from regend.cli.daemon import Daemon
from regend.cli.jobs import print_jobs
from regend.cli.names import DeviceNames
from regend.home import Home
from tests.cli.conftest import Desk, wait_until


def test_run_prints_the_id_alone_and_says_the_rest_on_stderr(desk: Desk) -> None:
    done = desk.run("jobs", "run", "nap")
    job = done.stdout.strip()
    assert desk.json("jobs", "show", job)["id"] == job
    assert "regend jobs logs -f" in done.stderr


def test_input_comes_as_json_from_a_file_from_stdin_and_by_fields(desk: Desk) -> None:
    (desk.home / "input.json").write_text('{"question": "from a file"}', encoding="utf-8")
    cases = [
        (('{"question": "as JSON"}',), "", "as JSON"),
        (("@input.json",), "", "from a file"),
        (("@-",), '{"question": "from stdin"}', "from stdin"),
        (("question=by field",), "", "by field"),
        (('{"question": "first"}', "question=2024"), "", "2024"),
    ]
    for parts, stdin, expected in cases:
        options = [option for part in parts for option in ("--input", part)]
        done = desk.run("jobs", "run", "research", *options, stdin=stdin)
        assert done.returncode == 0, done.stderr
        shown = desk.json("jobs", "show", done.stdout.strip())
        assert shown["input"] == {"question": expected}


def test_a_field_is_text_where_the_type_takes_text_and_json_elsewhere(desk: Desk) -> None:
    chat = desk.job("chat", "prompt=42", "max_tokens=3")
    assert desk.json("jobs", "show", chat)["input"] == {"prompt": "42", "max_tokens": 3}


def test_one_idempotency_key_makes_one_job(desk: Desk) -> None:
    first, second = (desk.job("nap", "--idempotency-key", "one-and-the-same") for _ in range(2))
    assert first == second
    other = desk.run("jobs", "run", "nap", "steps=2", "--idempotency-key", "one-and-the-same")
    assert other.returncode == 1


def test_follow_shows_the_steps_and_ends_with_the_job(desk: Desk) -> None:
    done = desk.run("jobs", "run", "nap", "steps=2", "--follow")
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"done": True}
    assert "step-0" in done.stderr
    assert "step-1" in done.stderr
    assert "\x1b" not in done.stderr + done.stdout


def test_following_a_job_that_fails_exits_with_1_and_says_why(desk: Desk) -> None:
    done = desk.run("jobs", "run", "nap", "fail_at=0", "--follow")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "It fails every time." in done.stderr
    assert "Give up." in done.stderr


def test_the_list_shows_what_the_contract_names(desk: Desk) -> None:
    job = desk.job("nap", "title_is=Nap of the list")
    desk.await_state(job, "completed")
    head, row, *_ = desk.run("jobs", "list", "--wide", "-q", "Nap of the list").stdout.splitlines()
    assert head.split() == ["ID", "STATE", "DONE", "TYPE", "TITLE", "DEVICE", "AGE"]
    assert job.startswith(row.split()[0])
    assert "● completed" in row
    assert "100%" in row
    assert "Nap of the list" in row


def test_ids_in_the_list_name_one_job_each(desk: Desk) -> None:
    started = {desk.job("nap", "title_is=Twin") for _ in range(3)}
    rows = desk.run("jobs", "list", "-q", "Twin").stdout.splitlines()[1:]
    found = {desk.json("jobs", "show", row.split()[0])["id"] for row in rows}
    assert started <= found


def test_a_title_cannot_command_the_terminal(desk: Desk) -> None:
    desk.job("nap", "--title", "\x1b[2Jwiped \u202eesrever\x07 clean-title")
    for done in (
        desk.run("jobs", "list", "-q", "clean-title"),
        desk.run("jobs", "list", "-q", "clean-title", environment={"COLUMNS": "200"}),
    ):
        assert "clean-title" in done.stdout
        assert not {"\x1b", "\x07", "\u202e"} & set(done.stdout)


def test_an_empty_list_teaches_the_first_step(own_desk: Desk) -> None:
    own_desk.start()
    done = own_desk.run("jobs", "list")
    assert (done.returncode, done.stdout) == (0, "")
    assert "regend research" in done.stderr
    assert "regend library add" in own_desk.run("library", "list").stderr


def test_pages_go_on_where_the_last_one_ended(desk: Desk) -> None:
    started = [desk.job("nap", "title_is=Paged") for _ in range(3)]
    first = desk.json("jobs", "list", "-q", "Paged", "-n", "2")
    rest = desk.json("jobs", "list", "-q", "Paged", "--cursor", first["next_cursor"])
    seen = [job["id"] for job in first["jobs"] + rest["jobs"]]
    assert seen == started[::-1]


def test_a_command_that_comes_too_late_says_so_and_what_to_do(desk: Desk) -> None:
    job = desk.job("nap", "steps=1")
    desk.await_state(job, "completed")
    paused = desk.run("jobs", "pause", job)
    assert paused.returncode == 1
    said = " ".join(paused.stderr.split())
    assert "The job is completed; pause needs one that is created or running or waiting." in said
    assert "nothing is left to pause" in said
    assert "regend jobs fork ID" in desk.run("jobs", "retry", job).stderr


def test_pause_and_resume_say_what_is_kept(desk: Desk) -> None:
    job = desk.job("nap", "steps=40", "sleep_s=0.2")
    wait_until(lambda: len(desk.json("jobs", "steps", job)["steps"]) >= 2, "two steps are done")
    assert desk.run("jobs", "pause", job[:18]).returncode == 0
    desk.await_state(job, "paused")
    kept = len(desk.json("jobs", "steps", job)["steps"])
    done = desk.run("jobs", "resume", job)
    assert done.returncode == 0
    assert f"step {kept}" in done.stdout
    assert f"{kept} steps kept" in done.stdout
    device = desk.json("devices", "list")["devices"][0]["name"]
    assert f"on {device}." in done.stdout
    assert desk.run("jobs", "cancel", job).returncode == 0
    desk.await_state(job, "cancelled")


def test_a_command_for_several_jobs_asks_each_although_one_refuses(desk: Desk) -> None:
    over = desk.job("nap")
    desk.await_state(over, "completed")
    waiting = desk.job("nap", "steps=100", "sleep_s=0.2")
    done = desk.run("jobs", "cancel", over, waiting)
    assert done.returncode == 1
    assert "completed" in done.stderr
    desk.await_state(waiting, "cancelled")


def test_a_failed_job_is_retried_and_followed_past_its_old_end(desk: Desk) -> None:
    job = desk.job("nap", "steps=2", "fail_at=1")
    desk.await_state(job, "failed")
    assert desk.run("jobs", "retry", job).returncode == 0
    watched = desk.run("jobs", "logs", "-f", job)
    assert watched.returncode == 0
    assert watched.stdout.count("job:failed") == 2


def test_a_fork_shares_the_steps_that_it_is_told_to(desk: Desk) -> None:
    job = desk.job("nap", "steps=3")
    desk.await_state(job, "completed")
    fork = desk.run("jobs", "fork", job, "--step", "2", "--follow")
    assert fork.returncode == 0
    new = fork.stdout.splitlines()[0]
    assert desk.json("jobs", "show", new)["parent_id"] == job
    assert "step-2" in fork.stderr
    assert "step-0" not in fork.stderr


def test_an_approval_shows_exactly_what_would_happen_and_takes_a_word(desk: Desk) -> None:
    job = desk.job("ask", "to=आशा")
    desk.await_state(job, "waiting")
    listed = desk.run("jobs", "approve")
    assert "send a letter" in listed.stdout
    assert "regend jobs approve" in desk.run("jobs", "show", job).stdout
    unasked = desk.run("jobs", "approve", job)
    assert unasked.returncode == 1
    assert "--yes" in unasked.stderr
    assert desk.state(job) == "waiting"
    done = desk.run("jobs", "approve", job[:18], "--yes")
    assert done.returncode == 0
    assert '"to": "आशा"' in done.stdout
    desk.await_state(job, "completed")
    assert desk.json("jobs", "show", job)["result"] == {"agreed": True}


def test_what_is_decided_on_is_shown_to_the_last_character_that_cannot_be_seen(desk: Desk) -> None:
    job = desk.job("ask", "to=pay \u202e21 not 12")
    desk.await_state(job, "waiting")
    shown = desk.run("jobs", "approve", job, "--deny", "--yes").stdout
    assert "pay \\u202e21 not 12" in shown
    desk.await_state(job, "completed")


def test_no_id_at_all_names_no_approval(desk: Desk) -> None:
    job = desk.job("ask", "to=nobody")
    desk.await_state(job, "waiting")
    assert desk.run("jobs", "approve", "", "--yes").returncode == 4
    assert desk.state(job) == "waiting"
    desk.run("jobs", "cancel", job)


def test_an_approval_can_be_denied(desk: Desk) -> None:
    job = desk.job("ask", "to=nobody")
    desk.await_state(job, "waiting")
    assert desk.run("jobs", "approve", job, "--deny", "--yes").returncode == 0
    desk.await_state(job, "completed")
    assert desk.json("jobs", "show", job)["result"] == {"agreed": False}


def test_logs_as_json_are_the_events_in_order_without_gap(desk: Desk) -> None:
    job = desk.job("nap", "steps=3")
    followed = desk.run("jobs", "logs", "-f", job, "--json")
    assert followed.returncode == 0
    events = [json.loads(line) for line in followed.stdout.splitlines()]
    assert [event["job_seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "job:completed:v1"
    again = desk.run("jobs", "logs", job, "--json")
    assert again.stdout == followed.stdout


def test_ctrl_c_detaches_says_so_and_leaves_the_job_running(desk: Desk) -> None:
    with desk.open("jobs", "run", "nap", "steps=200", "sleep_s=0.1", "--follow") as process:
        assert process.stderr is not None
        assert "step-0" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _out, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Detached" in said
    assert "regend jobs show" in said and "regend jobs cancel" in said
    assert "Traceback" not in said
    short = said.strip().split()[-1]
    assert desk.json("jobs", "show", short)["state"] == "running"
    assert desk.run("jobs", "cancel", short).returncode == 0


def test_a_watcher_outlives_the_daemon_and_misses_nothing(own_desk: Desk) -> None:
    own_desk.start()
    job = own_desk.job("nap", "steps=30", "sleep_s=0.1")
    with own_desk.open("jobs", "logs", "-f", job, "--json") as watcher:
        assert watcher.stdout is not None
        shown = [watcher.stdout.readline() for _ in range(5)]
        own_desk.stop(signal.SIGKILL)
        assert watcher.stderr is not None
        assert "away. Your job is safe" in watcher.stderr.readline()
        own_desk.start()
        rest = watcher.stdout.read()  # not `communicate`, which leaves out what is read already
    events = [json.loads(line) for line in [*shown, *rest.splitlines()]]
    assert [event["job_seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "job:completed:v1"
    steps = [event["data"]["name"] for event in events if event["type"] == "job:step:v1"]
    assert steps == [f"step-{number}" for number in range(30)]


def test_a_contested_job_is_flagged_in_the_list(
    capsys: pytest.CaptureFixture[str], desk: Desk
) -> None:
    found = desk.json("jobs", "show", desk.job("nap"))
    devices = DeviceNames(Daemon(Home.at(desk.home)))
    print_jobs([found], devices, wide=False)
    assert "contested" not in capsys.readouterr().out
    print_jobs([{**found, "contested": True}], devices, wide=False)
    told = capsys.readouterr()
    assert f"{found['state']}, contested" in told.out
    assert (
        "Contested: several devices took it over at once. Who counts: regend jobs show ID"
        in told.err
    )


def test_the_device_is_a_column_only_where_it_tells_jobs_apart(
    capsys: pytest.CaptureFixture[str], desk: Desk
) -> None:
    found = desk.json("jobs", "show", desk.job("nap"))
    devices = DeviceNames(Daemon(Home.at(desk.home)))
    print_jobs([found, found], devices, wide=False)
    assert "DEVICE" not in capsys.readouterr().out
    print_jobs([found, found], devices, wide=True)
    assert "DEVICE" in capsys.readouterr().out
    print_jobs([found, {**found, "device": "ffffffff-0000"}], devices, wide=False)
    assert "ffffffff" in capsys.readouterr().out
