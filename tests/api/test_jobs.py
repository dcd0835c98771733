"""The calls about jobs, sentence by sentence of the contract."""

from __future__ import annotations

from tests.api.conftest import API, Running


async def test_a_job_is_accepted_with_its_location_and_shown_until_it_is_done(
    running: Running,
) -> None:
    answer = await running.call(
        "POST", f"{API}/jobs", as_json={"type": "count", "input": {"steps": 2}}
    )
    assert answer.status == 202
    assert answer.headers["Location"] == f"{API}/jobs/{answer.json['id']}"
    done = await running.until(answer.json["id"], "completed")
    assert done["result"] == {"total": 1}
    assert done["progress"] == 100 and done["finished_at"]
