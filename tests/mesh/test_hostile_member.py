"""A device of the mesh that lies: nobody else is harmed by what it says, but by what it may do."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest import mock

import pytest

from regend import events
from regend.api.access import OWNER
from regend.errors import Failed
from regend.jobs.terms import first_term
from regend.jsontext import dumps
from regend.library.importer import Importer
from regend.store import changelog
from tests.mesh.conftest import Device, Start, pair
from tests.mesh.test_library import add
from tests.mesh.test_notes import noted, quiet

TEXT = "# Rent\n\nThe rent is due on the 5th."


async def say(device: Device, *changes: tuple[Any, ...]) -> None:
    """Write changes into a device's log as a program of the thief's would."""

    def write(connection: Any) -> None:
        with changelog.writing(connection, 1) as log:
            assert log is not None
            for kind, *fields in changes:
                log.add(kind, *fields)

    await device.daemon._store.write(write)


def document(id: str, text: str, *, digest: str = "d" * 64, about: Any = None) -> tuple[Any, ...]:
    told = about or ["Rent", "note:rent", "text/plain", 30, "en", True]
    return ("document", id, OWNER, digest, text, told)


async def test_no_document_leads_to_a_file_beside_the_payloads(start: Start) -> None:
    honest, thief = await start("Laptop"), await start("Thief")
    await pair(honest, thief)
    precious = honest.home.blobs_dir.parent.parent / "precious"
    precious.write_text("keep me")
    path = "..".ljust(64 - len(precious.name), "/") + precious.name
    text = thief.daemon._store.blobs.put(TEXT.encode())
    await say(thief, document("b", path), document("a", text))
    await honest.until(lambda s: len(s["documents"]) == 1, "/library")
    await say(thief, document("c", text, digest="e" * 64))  # so that what came before is settled
    await honest.until(lambda s: len(s["documents"]) == 2, "/library")
    assert precious.exists()


async def test_a_text_that_is_none_keeps_no_other_document_from_coming(start: Start) -> None:
    honest, thief = await start("Laptop"), await start("Thief")
    await pair(honest, thief)
    good, bad = (thief.daemon._store.blobs.put(one) for one in (TEXT.encode(), b"\xff\xfe"))
    many = [document(f"a{number}", bad, digest=f"{number:064}") for number in range(30)]
    await say(thief, *many, document("b", good))
    await honest.until(lambda s: len(s["documents"]) == 1, "/library")


async def test_a_document_that_a_device_cannot_import_is_told_and_tried_again_after_an_upgrade(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await start("Laptop"), await start("Phone")
    await pair(one, two)
    with mock.patch.object(
        Importer, "import_extracted", side_effect=ValueError("a fault")
    ) as tried:
        await add(one, "Rent", TEXT)
        note = await noted(two, "document_unfit")
        assert note["text"] == (
            "“Rent”, which “Laptop” has in its library, cannot be taken into this one: a fault."
        )
        assert "regend library add" in note["hint"] and "upgrade" in note["hint"]
        await two.stop()
        two = await start("Phone")
        assert await noted(two, "document_unfit") == note
        await asyncio.sleep(1)
        assert tried.call_count == 1, "not again and again, nor at every start"
        assert not (await one.call("GET", "/mesh"))["notes"]
    assert len((await one.call("GET", "/library"))["documents"]) == 1
    await two.stop()
    monkeypatch.setattr("regend.mesh.unfit.VERSION", "a later one")
    two = await start("Phone")
    await two.until(lambda s: len(s["documents"]) == 1, "/library")
    await quiet(two)
    assert len((await one.call("GET", "/library"))["documents"]) == 1


def told(thief: Device, id: str, *happened: Any, **columns: Any) -> list[tuple[Any, ...]]:
    """Return the changes that tell of a job of the thief's."""
    log = thief.daemon._mesh.moves.own
    term = first_term(id, *log, 1)
    row = {
        **{"user": OWNER, "type": "chat", "title": "A job", "priority": 0, "max_attempts": 3},
        **{"seed": 1, "model": "none", "input": "{}", "parent_id": None, "owner_device": "x"},
        "created_at": 1000,
    }
    return [
        ("job", id, list((row | columns).values()), list(term)),
        ("history", id, term.id, list(happened)),
    ]


def event(place: int, type_name: str, data: Any, extra: Any = None) -> list[Any]:
    return [place, place - 1, type_name, 1000, dumps(data), extra]


async def test_payloads_that_are_none_hide_nothing_else(start: Start) -> None:
    honest, thief = await start("Laptop"), await start("Thief")
    await pair(honest, thief)
    for id, content in (("a", b"\xff"), ("b", b"[" * 100_000), ("c", b'"fine"')):
        column = "@" + thief.daemon._store.blobs.put(content)
        asked = [f"q-{id}", 1, "pay", "h", column, "pending", 1, None]
        waiting = {"from": "running", "to": "waiting", "waiting": {"reason": "approval"}}
        happened = (
            event(1, events.JOB_CREATED, {"type": "chat"}),
            event(2, events.JOB_STATE, {"from": "created", "to": "running"}),
            event(3, events.APPROVAL_REQUESTED, {"id": f"q-{id}"}, asked),
            event(4, events.JOB_STATE, waiting),
        )
        await say(thief, *told(thief, id, *happened, input=column))
    shown = await honest.until(
        lambda s: any(one["preview"] == "fine" for one in s["approvals"]), "/approvals"
    )
    assert {one["id"] for one in shown["approvals"]} == {"q-a", "q-b", "q-c"}
    await honest.until(lambda s: s["input"] == "fine", "/jobs/c")
    async with asyncio.timeout(10):
        for id in ("a", "b"):
            while True:
                try:
                    await honest.call("GET", f"/jobs/{id}")
                except Failed as error:
                    assert error.code == "payload_unreadable"
                    break
