"""The protocol cores, Python and JavaScript, against the rules of `regend.client`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from regend.client.protocol import State
from regend.errors import Busy, RegendError, TooLarge
from regend.limits import STREAM_COMMANDS, STREAM_COMMANDS_BURST, STREAM_COMMANDS_IN_FLIGHT
from tests.client.scenarios import SCENARIOS
from tests.client.scripts import (
    Script,
    events,
    frame,
    hello,
    new_protocol,
    plain,
    random_script,
    run_script,
)
from tests.client.tools import run_node


@pytest.mark.parametrize("script", SCENARIOS, ids=lambda script: script["name"])
def test_the_python_core_does_what_the_scenario_expects(script: Script) -> None:
    for step, outcome in zip(script["steps"], run_script(script), strict=True):
        assert outcome["actions"] == step["expect"], step


def test_the_javascript_core_does_in_every_scenario_what_the_python_core_does() -> None:
    assert replayed(SCENARIOS) == as_json([run_script(script) for script in SCENARIOS])


def test_both_cores_do_the_same_in_hundreds_of_random_schedules() -> None:
    scripts = [random_script(seed) for seed in range(500)]
    for script, theirs in zip(scripts, replayed(scripts), strict=True):
        assert theirs == as_json(run_script(script)), script["name"]


def test_random_schedules_reach_every_kind_of_action() -> None:
    traces = [run_script(random_script(seed)) for seed in range(100)]
    kinds = {one.get("do") for trace in traces for step in trace for one in step["actions"]}
    assert {"connect", "disconnect", "send", "deliver", "settle", "fail"} <= kinds


def test_rule_5_commands_go_out_in_order_and_no_faster_than_the_daemon_allows() -> None:
    protocol = new_protocol({"after_seq": 0})
    for number in range(300):
        protocol.submit("cancel", {"job_id": f"j{number}"}, 0.0)
    protocol.start(0.0)
    protocol.opened(0.0)
    now_s = 0.0
    sent = sent_jobs(protocol.received(hello(0), now_s))
    assert len(sent) == STREAM_COMMANDS_IN_FLIGHT
    answered = 0
    while answered < 300:
        answered += 1
        actions = protocol.received(frame("reply", id=f"c{answered}", ok=True, job={}), now_s)
        while answered == len(sent) + len(sent_jobs(actions)) < 300:
            assert protocol.deadline_s is not None
            now_s = protocol.deadline_s
            actions = protocol.timer(now_s)
        sent += sent_jobs(actions)
    assert sent == [f"j{number}" for number in range(300)]
    assert now_s == pytest.approx((300 - STREAM_COMMANDS_BURST) / 40, rel=0.05)


def test_rule_5_a_withdrawn_command_is_forgotten_only_if_it_was_never_sent() -> None:
    protocol = new_protocol({"after_seq": 0})
    unsent, _ = protocol.submit("cancel", {"job_id": "a"}, 0.0)
    protocol.withdraw(unsent)
    protocol.start(0.0)
    protocol.opened(0.0)
    protocol.received(hello(0), 0.0)
    sent, _ = protocol.submit("cancel", {"job_id": "b"}, 0.0)
    protocol.withdraw(sent)
    protocol.closed(1006, "", 0.0)
    protocol.timer(1.0)
    protocol.opened(1.0)
    assert sent_jobs(protocol.received(hello(0), 1.0)) == ["b"]


def test_more_commands_than_the_bound_are_refused_and_the_others_kept() -> None:
    protocol = new_protocol({"after_seq": 0})
    for _ in range(STREAM_COMMANDS):
        protocol.submit("cancel", {"job_id": "a"}, 0.0)
    with pytest.raises(Busy, match="wait for the daemon"):
        protocol.submit("cancel", {"job_id": "a"}, 0.0)
    assert protocol.unanswered == STREAM_COMMANDS


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"input": {"prompt": "ñ" * 40_000}}, "command_too_large"),
        ({"input": {"x": float("nan")}}, "command_not_json"),
        ({"input": {"x": object()}}, "command_not_json"),
    ],
)
def test_a_command_that_cannot_travel_is_refused_at_once(fields: dict[str, Any], code: str) -> None:
    protocol = new_protocol({"after_seq": 0})
    with pytest.raises(RegendError) as caught:
        protocol.submit("start", {"type": "chat", **fields}, 0.0)
    assert caught.value.code == code
    assert protocol.unanswered == 0


@pytest.mark.parametrize("after_seq", [-1, 2**63, True, 1.5, "7"])
def test_a_position_that_is_none_is_refused(after_seq: Any) -> None:
    with pytest.raises(RegendError, match="whole number"):
        new_protocol({"after_seq": after_seq})


def test_more_jobs_than_fit_into_one_hello_are_refused() -> None:
    with pytest.raises(TooLarge, match="do not fit"):
        new_protocol({"jobs": [f"{number:036}" for number in range(2000)]})


def test_a_frame_nested_ten_thousand_deep_is_a_violation_and_no_crash() -> None:
    protocol = new_protocol({"after_seq": 0})
    protocol.start(0.0)
    protocol.opened(0.0)
    protocol.received(hello(0), 0.0)
    protocol.received('{"op":"events","events":' + "[" * 100_000, 0.0)
    assert protocol.state is State.WAITING


def test_rule_11_while_held_items_are_dropped_and_answers_come() -> None:
    protocol = live_protocol()
    protocol.submit("cancel", {"job_id": "a"}, 0.0)
    protocol.hold()
    assert protocol.received(events(1, 2), 0.0) == []
    answer = protocol.received(frame("reply", id="c1", ok=True, job={}), 0.0)
    assert [plain(one)["do"] for one in answer] == ["settle", "disconnect"]
    assert [plain(one)["do"] for one in protocol.release(1.0)] == ["connect"]
    assert plain(protocol.opened(1.0)[0])["frame"]["after_seq"] == 0
    protocol.received(hello(2), 1.0)
    assert plain(protocol.received(events(1, 2), 1.0)[0])["do"] == "deliver"


def test_rule_11_a_command_while_held_connects_for_its_answer_alone() -> None:
    protocol = live_protocol()
    protocol.hold()
    assert [plain(one)["do"] for one in protocol.received(events(1), 0.0)] == ["disconnect"]
    _, actions = protocol.submit("cancel", {"job_id": "a"}, 0.0)
    assert [plain(one)["do"] for one in actions] == ["connect"]
    assert plain(protocol.opened(0.0)[0])["frame"]["jobs"] == []
    assert sent_jobs(protocol.received(hello(9, "e2"), 0.0)) == ["a"]
    assert protocol.seq == 0 and protocol.epoch == "e1"
    assert [plain(one)["do"] for one in protocol.release(0.0)] == ["disconnect", "connect"]


def live_protocol() -> Any:
    protocol = new_protocol({"after_seq": 0})
    protocol.start(0.0)
    protocol.opened(0.0)
    protocol.received(hello(2), 0.0)
    return protocol


def sent_jobs(actions: list[Any]) -> list[str]:
    """Return the jobs of the commands that these actions send."""
    frames = [plain(one)["frame"] for one in actions if plain(one)["do"] == "send"]
    return [content["job_id"] for content in frames]


def replayed(scripts: list[Script]) -> Any:
    return json.loads(run_node("replay.mjs", stdin=json.dumps(scripts)))


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def test_the_javascript_core_passes_its_own_tests() -> None:
    assert "# fail 0" in run_node("--test", "--test-reporter=tap", "client.test.mjs")
