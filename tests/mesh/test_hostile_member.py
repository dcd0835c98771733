"""A device of the mesh that lies: nobody else is harmed by what it says, but by what it may do."""

from __future__ import annotations

from typing import Any

from regend.api.access import OWNER
from regend.store import changelog
from tests.mesh.conftest import Device, Start, pair

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
