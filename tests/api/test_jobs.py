"""The calls about jobs, sentence by sentence of the contract."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from regend.client.records import Job
from regend.config import LimitsConfig
from regend.jobs import history
from regend.limits import MAX_BODY_BYTES, MAX_JOB_INPUT_BYTES
from tests.api.conftest import API, Running, Start

JOBS = f"{API}/jobs"
FIELDS = {
    *("id", "schema", "type", "state", "title", "input", "progress", "step", "attempt"),
    *("last_seq", "result", "error", "model", "priority", "owner_device", "device"),
    *("created_at", "updated_at", "finished_at", "parent_id"),
}


async def test_a_job_is_accepted_with_its_location_and_shown_until_it_is_done(
    running: Running,
) -> None:
    answer = await running.call("POST", JOBS, as_json={"type": "count", "input": {"steps": 2}})
    assert answer.status == 202
    assert answer.headers["Location"] == f"{JOBS}/{answer.json['id']}"
    assert set(answer.json) >= FIELDS
    done = await running.until(answer.json["id"], "completed")
    assert done["result"] == {"total": 1}
    assert done["progress"] == 100 and done["schema"] == 1
    for name in ("created_at", "updated_at", "finished_at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", done[name])
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f-]{17}", done["id"])


async def test_every_field_of_a_job_is_in_the_document_and_in_the_clients_type(
    running: Running,
) -> None:
    job = await running.submit("count", steps=0, ballast="x" * 100_000)
    (listed,) = (await running.call("GET", JOBS)).json["jobs"]
    assert listed["omitted"] == ["input"] and listed["input"] is None
    document = (await running.call("GET", f"{API}/openapi.json")).json
    described = document["components"]["schemas"]["Job"]
    assert set(described["properties"]) == set(Job.__annotations__)
    assert set(listed) == set(described["properties"]) - {"account"}  # one device alone ran it
    shown = (await running.call("GET", f"{JOBS}/{job}")).json
    assert set(shown) == set(described["required"]) == set(listed) - {"omitted"}


async def test_the_same_key_makes_one_job_even_at_the_same_moment(running: Running) -> None:
    body = {"type": "count", "input": {"steps": 1}}
    answers = await asyncio.gather(
        *(
            running.call("POST", JOBS, as_json=body, headers={"Idempotency-Key": "once"})
            for _ in range(100)
        )
    )
    assert {answer.status for answer in answers} == {202}
    assert len({answer.json["id"] for answer in answers}) == 1
    other = {"type": "count", "input": {"steps": 2}}
    clash = await running.call("POST", JOBS, as_json=other, headers={"Idempotency-Key": "once"})
    assert (clash.status, clash.error["code"]) == (409, "idempotency_conflict")
    stranger = await running.user("another")
    theirs = await running.call(
        "POST", JOBS, as_json=other, token=stranger, headers={"Idempotency-Key": "once"}
    )
    assert theirs.status == 202


@pytest.mark.parametrize(("key", "code"), [("x" * 256, "idempotency_key"), ("", "idempotency_key")])
async def test_a_key_that_is_none_is_refused(running: Running, key: str, code: str) -> None:
    answer = await running.call(
        "POST", JOBS, as_json={"type": "count"}, headers={"Idempotency-Key": key}
    )
    assert (answer.status, answer.error["code"]) == (400, code)


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ([], "invalid_body", None),
        ({"type": "counte", "input": {}}, "unknown_job_type", "type"),
        ({"type": 7, "input": {}}, "unknown_job_type", "type"),
        ({"type": "chat", "input": {"promt": "x"}}, "unknown_field", "input.promt"),
        ({"type": "chat", "input": {"prompt": " "}}, "invalid_field", "input.prompt"),
        ({"type": "chat", "input": {}}, "invalid_field", "input.messages"),
        ({"type": "chat", "input": []}, "invalid_field", "input"),
        ({"type": "research", "input": {"question": ""}}, "invalid_field", "input.question"),
        ({"type": "count", "inputs": {}}, "unknown_field", "inputs"),
        ({"type": "count", "title": " "}, "invalid_field", "title"),
        ({"type": "count", "title": 5}, "invalid_field", "title"),
        ({"type": "count", "priority": 101}, "invalid_field", "priority"),
        ({"type": "count", "priority": True}, "invalid_field", "priority"),
        ({"type": "count", "max_attempts": 0}, "invalid_field", "max_attempts"),
    ],
)
async def test_bad_input_is_refused_naming_the_field_and_makes_no_job(
    running: Running, body: Any, code: str, field: str | None
) -> None:
    answer = await running.call("POST", JOBS, as_json=body)
    assert (answer.status, answer.error["code"]) == (400, code)
    assert answer.error.get("field") == field
    assert (await running.call("GET", JOBS)).json["jobs"] == []


async def test_a_near_miss_is_answered_with_the_name_that_was_meant(running: Running) -> None:
    answer = await running.call("POST", JOBS, as_json={"type": "chat", "input": {"promt": "x"}})
    assert "prompt" in answer.error["hint"]


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"\xff\xfe", b'{"type": NaN}', b'{"type": 1e999}', b'"\\ud800"'),
        *(b'{"a": 18446744073709551616}', b"[" * 10_000 + b"]" * 10_000, b"\xef\xbb\xbf{}"),
        *(b'{"a": ' + b"9" * 5000 + b"}", b"[" * 101 + b"]" * 101),
    ],
)
async def test_json_that_cannot_be_carried_is_refused_with_a_reason(
    running: Running, body: bytes
) -> None:
    answer = await running.call(
        "POST", JOBS, data=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status == 400
    assert answer.error["code"] in ("json_invalid", "json_value", "json_encoding")


async def test_what_can_be_carried_comes_back_as_it_was(running: Running) -> None:
    sent: Any = {"a": ["\x00", "हिन्दी", "\u2028", "😀", 2**63 - 1, -(2**63 - 1), 0.1, None, True]}
    job = await running.submit("count", **sent)
    assert (await running.call("GET", f"{JOBS}/{job}")).json["input"] == sent


async def test_a_long_key_over_a_long_list_costs_no_more_than_its_size(running: Running) -> None:
    body = b'{"type":"count","input":{"' + b"k" * 200_000 + b'":[' + b"0," * 200_000 + b"0]}}"
    answer = await running.call(
        "POST", JOBS, data=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status == 202


async def test_bodies_over_their_bounds_are_refused(running: Running) -> None:
    content = {"Content-Type": "application/json"}
    huge = b'{"type":"count","input":{"x":"' + b"x" * MAX_BODY_BYTES + b'"}}'
    answer = await running.call("POST", JOBS, data=huge, headers=content)
    assert (answer.status, answer.error["code"]) == (413, "body_too_large")
    large = b'{"type":"count","input":{"x":"' + b"x" * MAX_JOB_INPUT_BYTES + b'"}}'
    answer = await running.call("POST", JOBS, data=large, headers=content)
    assert (answer.status, answer.error["code"]) == (413, "input_too_large")
    assert (await running.call("GET", JOBS)).json["jobs"] == []


async def test_pages_stay_in_step_while_jobs_are_added(running: Running) -> None:
    wanted = [await running.submit("count", steps=0) for _ in range(7)]
    found: list[str] = []
    cursor = ""
    while True:
        page = (await running.call("GET", f"{JOBS}?limit=2{cursor}")).json
        found += [job["id"] for job in page["jobs"]]
        await running.submit("count", steps=0)
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert found == wanted[::-1]


async def test_lists_are_filtered_by_state_type_and_words(start: Start) -> None:
    running = await start(concurrency=1)
    done = await running.submit("count", steps=0, title="हिन्दी में प्रश्न 100% _ok_")
    await running.until(done, "completed")
    asking = await running.submit("approve", to="x", title="ask 100 xok")
    await running.until(asking, "waiting")
    busy = await running.submit("count", sleep_s=20, title="busy")
    queued = await running.submit("count", title="queued")
    await running.until(busy, "running")

    async def ids(**query: str) -> list[str]:
        answer = await running.call("GET", JOBS, params=query)
        return [job["id"] for job in answer.json["jobs"]]

    assert await ids() == [queued, busy, asking, done]
    assert await ids(state="pending") == [queued, busy, asking]
    assert await ids(state="completed") == [done]
    assert await ids(type="approve") == [asking]
    assert await ids(q="हिन्दी") == [done]
    assert await ids(q="100%") == [done]
    assert await ids(q="_ok_") == [done]
    assert await ids(q="\\") == []
    wrong = ("state", "done"), ("cursor", "-1"), ("limit", "0"), ("limit", "१"), ("q", "x" * 60_000)
    for name, value in wrong:
        refused = await running.call("GET", JOBS, params={name: value})
        assert (refused.status, refused.error["field"]) == (400, name)
    twice = await running.call("GET", f"{JOBS}?limit=1&limit=2")
    assert twice.status == 400
    slip = await running.call("GET", f"{JOBS}?stat=completed")
    assert (slip.status, slip.error["field"]) == (400, "stat")
    assert "state" in slip.error["hint"]
    await running.call("POST", f"{JOBS}/{busy}/cancel")
    await running.until(busy, "cancelled")


async def test_commands_answer_the_job_or_the_states_from_which_they_are_possible(
    start: Start,
) -> None:
    running = await start(concurrency=1)
    busy = await running.submit("count", sleep_s=20)
    await running.until(busy, "running")
    queued = await running.submit("count")
    paused = await running.call("POST", f"{JOBS}/{queued}/pause")
    assert (paused.status, paused.json["state"]) == (202, "paused")
    refused = await running.call("POST", f"{JOBS}/{queued}/retry")
    assert (refused.status, refused.error["code"]) == (409, "wrong_state")
    assert "failed" in refused.error["message"]
    assert (await running.call("POST", f"{JOBS}/{queued}/resume")).json["state"] == "created"
    assert (await running.call("POST", f"{JOBS}/{queued}/cancel")).json["state"] == "cancelled"
    refused = await running.call("POST", f"{JOBS}/{queued}/resume")
    assert refused.status == 409 and "fork" in refused.error["hint"]
    await running.call("POST", f"{JOBS}/{busy}/cancel")
    await running.until(busy, "cancelled")
    for verb, body in (("resume", {"choice": 1}), ("fork", {"step": -1}), ("cancel", {"x": 1})):
        refused = await running.call("POST", f"{JOBS}/{busy}/{verb}", as_json=body)
        assert refused.status == 400, verb


async def test_steps_checkpoints_and_a_fork_tell_what_ran(running: Running) -> None:
    job = await running.submit("count", steps=3)
    await running.until(job, "completed")
    steps = (await running.call("GET", f"{JOBS}/{job}/steps")).json["steps"]
    assert [step["name"] for step in steps] == ["step-0", "step-1", "step-2"]
    assert {"ordinal", "input_hash", "started_at", "duration_ms", "result"} <= set(steps[0])
    places = (await running.call("GET", f"{JOBS}/{job}/checkpoints")).json["checkpoints"]
    assert [place["step"] for place in places] == [1, 2, 3]
    fork = await running.call("POST", f"{JOBS}/{job}/fork", as_json={"step": 2})
    assert fork.status == 202 and fork.json["parent_id"] == job
    await running.until(fork.json["id"], "completed")
    beyond = await running.call("POST", f"{JOBS}/{job}/fork", as_json={"step": 9})
    assert (beyond.status, beyond.error["field"]) == (400, "step")


async def test_an_id_may_be_shortened_and_an_unknown_one_is_not_found(running: Running) -> None:
    job = await running.submit("count")
    assert (await running.call("GET", f"{JOBS}/{job[:20]}")).json["id"] == job
    other = await running.submit("count")
    shared = next(n for n in range(len(job)) if job[n] != other[n])
    ambiguous = await running.call("GET", f"{JOBS}/{job[:shared]}")
    assert (ambiguous.status, ambiguous.error["code"]) == (409, "ambiguous_id")
    assert job in ambiguous.error["hint"] and other in ambiguous.error["hint"]
    for unknown in ("zzz", "%25", "'--", "%00", "क", "x" * 3000):
        answer = await running.call("GET", f"{JOBS}/{unknown}")
        assert (answer.status, answer.error["code"]) == (404, "job_not_found"), unknown


async def test_events_come_in_pages_without_gap(running: Running) -> None:
    job = await running.submit("count", steps=6)
    done = await running.until(job, "completed")
    found: list[dict[str, Any]] = []
    while True:
        after = found[-1]["seq"] if found else 0
        path = f"{JOBS}/{job}/events?after_seq={after}&limit=3"
        page = (await running.call("GET", path)).json["events"]
        if not page:
            break
        found += page
    assert [event["job_seq"] for event in found] == list(range(1, len(found) + 1))
    assert set(found[0]) == {"seq", "job_id", "job_seq", "type", "at", "data"}
    assert found[-1]["seq"] == done["last_seq"]
    assert found[-1]["type"] == "job:completed:v1"


async def test_an_approval_waits_for_its_exact_arguments_and_one_answer(running: Running) -> None:
    job = await running.submit("approve", to="the bank")
    await running.until(job, "waiting")
    (asked,) = (await running.call("GET", f"{API}/approvals")).json["approvals"]
    assert asked["preview"] == {"to": "the bank"}
    place = f"{API}/approvals/{asked['id']}"
    for body in (
        {"decision": "approve", "action_hash": "0" * 64},
        {"decision": "yes", "action_hash": asked["action_hash"]},
        {"decision": "approve"},
    ):
        assert (await running.call("POST", place, as_json=body)).status in (400, 409)
    assert (await running.call("POST", f"{JOBS}/{job}/resume")).status == 409
    right = {"decision": "approve", "action_hash": asked["action_hash"]}
    assert (await running.call("POST", place, as_json=right)).status == 200
    assert (await running.until(job, "completed"))["result"] == {"agreed": True}
    again = await running.call("POST", place, as_json=right | {"decision": "deny"})
    assert again.status == 409
    assert (await running.call("GET", f"{API}/approvals")).json["approvals"] == []


async def test_research_is_paced_and_only_what_starts_counts(start: Start) -> None:
    running = await start(limits=LimitsConfig(research_per_minute=5, requests_per_minute=0))

    async def ask(question: str, key: str) -> Any:
        body = {"type": "research", "input": {"question": question}}
        return await running.call("POST", JOBS, as_json=body, headers={"Idempotency-Key": key})

    for number in range(8):
        assert (await ask("", f"bad {number}")).status == 400
    for number in range(5):
        assert (await ask("why?", f"k{number}")).status == 202
    refused = await ask("why?", "k5")
    assert (refused.status, refused.error["code"]) == (429, "rate_limited")
    assert refused.error["retryable"] is True
    settings = str(running.home.config_file)
    assert f"limits.research_per_minute in {settings}" in refused.error["hint"]
    assert (await ask("", "bad 8")).status == 400, "what is wrong is said before the pace"
    wait_s = int(refused.headers["Retry-After"])
    assert wait_s >= refused.error["retry_after_s"] > 0
    assert (await ask("why?", "k4")).status == 202, "a repeat starts nothing"
    other = await running.user("other")
    body = {"type": "research", "input": {"question": "?"}}
    assert (await running.call("POST", JOBS, token=other, as_json=body)).status == 202
    running.clock.ahead_s += wait_s
    assert (await ask("why?", "k5")).status == 202


async def test_a_fork_of_research_is_a_start_and_letting_it_go_on_is_none(start: Start) -> None:
    running = await start(limits=LimitsConfig(research_per_minute=2, requests_per_minute=0))
    body = {"type": "research", "input": {"question": "why?"}}
    job = (await running.call("POST", JOBS, as_json=body)).json["id"]

    async def fork(key: str, **said: Any) -> Any:
        headers = {"Idempotency-Key": key}
        return await running.call("POST", f"{JOBS}/{job}/fork", as_json=said, headers=headers)

    assert (await fork("far", step=9999)).status == 400, "what is refused counts for nothing"
    forked = await fork("k")
    assert forked.status == 202
    refused = await fork("k2")
    assert (refused.status, refused.error["code"]) == (429, "rate_limited")
    assert (await fork("k")).json["id"] == forked.json["id"], "a repeat starts nothing"
    paused = (await running.call("POST", f"{JOBS}/{job}/pause")).status
    assert (await running.call("POST", f"{JOBS}/{job}/resume")).status == paused
    other = await running.submit("count", steps=0)
    assert (await running.call("POST", f"{JOBS}/{other}/fork")).status == 202


async def test_requests_are_paced_for_each_token(start: Start) -> None:
    running = await start(limits=LimitsConfig(research_per_minute=0, requests_per_minute=20))
    statuses = [(await running.call("GET", JOBS)).status for _ in range(25)]
    assert statuses == [200] * 20 + [429] * 5
    assert (await running.call("GET", JOBS, token=await running.user("other"))).status == 200


async def test_a_page_of_large_events_is_bounded_and_goes_on(running: Running) -> None:
    job = await running.submit("count", steps=0)
    await running.until(job, "completed")

    def write(connection: Any) -> None:
        (number,) = connection.execute("SELECT number FROM jobs WHERE id = ?", (job,)).fetchone()
        draft = history.Draft("tool:result:v1", json.dumps({"text": "x" * 250_000}))
        for _ in range(80):
            history.append(connection, number, draft, 0)

    await running.store.write(write)
    seen, after = 0, 0
    while True:
        path = f"{JOBS}/{job}/events?limit=1000&after_seq={after}"
        answer = await running.call("GET", path)
        events = answer.json["events"]
        if not events:
            break
        assert len(answer.body) < 20_000_000
        seen, after = seen + len(events), events[-1]["seq"]
    assert seen == 83
