"""`--json` of every listing is the object that the daemon itself gives, with keys that stay."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest

from tests.cli.conftest import Desk

JOB_KEYS = {
    *("id", "schema", "type", "state", "title", "input", "progress", "step", "attempt"),
    *("last_seq", "result", "error", "model", "priority", "owner_device", "device"),
    *("created_at", "updated_at", "finished_at", "parent_id"),
}


def rest(desk: Desk, path: str) -> Any:
    """Ask the daemon itself, past the command line."""
    told = json.loads((desk.home / "daemon.json").read_text(encoding="utf-8"))
    token = (desk.home / "token").read_text(encoding="utf-8").strip()
    request = urllib.request.Request(
        f"{told['url']}/api/v1{path}", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def job(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A desk with one of everything to list; return a job that is completed."""
    page = tmp_path_factory.mktemp("listed") / "listed.md"
    page.write_text("# Lists\n\nA lighthouse stands on the rock of Listmore.\n", encoding="utf-8")
    assert desk.run("library", "add", str(page)).returncode == 0
    (page.parent / "torn.pdf").write_bytes(b"%PDF-1.7 and no more")
    assert desk.run("library", "add", str(page.parent / "torn.pdf")).returncode == 1
    desk.await_state(desk.job("ask", "to=whom it may concern"), "waiting")
    job = desk.job("nap", "steps=2")
    desk.await_state(job, "completed")
    return job


@pytest.mark.parametrize(
    ("arguments", "path", "keys"),
    [
        (("jobs", "list", "-n", "7"), "/jobs?limit=7", {"jobs", "next_cursor"}),
        (("jobs", "list", "--state", "pending"), "/jobs?state=pending&limit=20", {"jobs"}),
        (("jobs", "show", "{job}"), "/jobs/{job}", JOB_KEYS),
        (("jobs", "steps", "{job}"), "/jobs/{job}/steps", {"steps"}),
        (("jobs", "approve"), "/approvals", {"approvals"}),
        (("library", "list", "-n", "3"), "/library?limit=3", {"documents", "next_cursor"}),
        (("library", "search", "lighthouse"), "/library/search?q=lighthouse", {"hits"}),
        (("models", "list"), "/models", {"models"}),
        (("models", "ps"), "/models/running", {"models"}),
        (("tokens", "list"), "/tokens", {"tokens"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_listing_as_json_is_the_object_of_the_daemon(
    desk: Desk, job: str, arguments: tuple[str, ...], path: str, keys: set[str]
) -> None:
    listed = desk.json(*(part.format(job=job) for part in arguments))
    given = rest(desk, path.format(job=job))
    assert keys <= set(listed)
    assert listed == given
    for rows in (value for value in listed.values() if isinstance(value, list)):
        assert rows or "ps" in arguments, "there is something to list"


def test_every_job_of_a_listing_has_the_fields_of_the_contract(desk: Desk, job: str) -> None:
    for listed in desk.json("jobs", "list")["jobs"]:
        assert set(listed) >= JOB_KEYS


def test_what_could_not_be_read_is_in_the_listing_of_the_library(desk: Desk, job: str) -> None:
    refused = desk.json("library", "list")["unreadable"]
    (torn,) = (one for one in refused if one["source"].endswith("torn.pdf"))
    assert torn["reason"] and torn["code"] == "document_broken"
