"""What is in the library of one device is in that of the others."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from regend.api.access import OWNER
from regend.cli.daemon import Daemon as CliDaemon
from regend.cli.importing import Import
from tests.mesh.conftest import Device, Start, join, pair

RENT = "# Rent\n\nThe rent of 18,500 rupees is due on the 5th of each month."
TANKI = "# टंकी\n\nपानी की टंकी हर तीन महीने में साफ़ होती है।"


async def add(device: Device, title: str, text: str) -> str:
    body = {"title": title, "text": text, "source": f"note:{title}"}
    shown: dict[str, Any] = await device.call("POST", "/library", body)
    return str(shown["document"]["id"] if "document" in shown else shown["id"])


async def has(device: Device, *documents: str) -> None:
    """Return once the library holds exactly these documents."""
    await device.until(lambda s: {d["id"] for d in s["documents"]} == set(documents), "/library")


async def hits(device: Device, question: str) -> list[dict[str, Any]]:
    found = await device.call("GET", "/library/search", q=question)
    rows: list[dict[str, Any]] = found["hits"]
    return rows


async def test_documents_come_along_whether_added_before_or_after(start: Start) -> None:
    one, two = await start("Laptop"), await start("Phone")
    rent = await add(one, "Rent", RENT)
    await pair(one, two)
    tank = await add(two, "टंकी", TANKI)
    for device in (one, two):
        await has(device, rent, tank)
        (hit, *_) = await hits(device, "When is the rent due?")
        assert "5th" in hit["text"]
        (hit, *_) = await hits(device, "टंकी कब साफ़ होती है")
        assert "तीन महीने" in hit["text"]
    await one.level()


async def test_what_is_removed_on_one_is_removed_on_the_other(start: Start) -> None:
    one, two = await start("Laptop"), await start("Phone")
    rent = await add(one, "Rent", RENT)
    await pair(one, two)
    await has(two, rent)
    await two.call("DELETE", f"/library/{rent}")
    await has(one)
    again = await add(one, "Rent", RENT)
    assert again != rent
    await has(two, again)
    await one.level()


async def keep_file(device: Device, path: Path, text: str) -> str:
    """Add a file as `library add` does; return the document's id."""
    importer = device.daemon._services.importer
    return (await importer.import_file(text.encode(), str(path), OWNER)).document.id


async def test_a_file_that_changes_takes_no_other_devices_add_along(
    start: Start, tmp_path: Path
) -> None:
    one, two = await start("Laptop"), await start("Phone")
    for device in (one, two):
        await keep_file(device, tmp_path / device.name / "rent.md", RENT)
    await pair(one, two)
    await one.level()
    fresh = await keep_file(two, tmp_path / two.name / "rent.md", RENT + " Ask Ravi.")

    def both(shown: Any) -> bool:
        return len(shown["documents"]) == 2 and fresh in {d["id"] for d in shown["documents"]}

    for device in (one, two):
        await device.until(both, "/library")
    await one.level()
    (old,) = [d for d in (await one.call("GET", "/library"))["documents"] if d["id"] != fresh]
    importer = one.daemon._services.importer
    await importer.leave(OWNER, old["id"], str(tmp_path / one.name / "rent.md"))
    for device in (one, two):
        await has(device, fresh)
    await one.level()


@pytest.mark.parametrize("both", [False, True], ids=["only there", "also here"])
async def test_what_another_device_added_from_a_folder_of_the_same_name_is_not_pruned(
    start: Start, tmp_path: Path, both: bool
) -> None:
    """The folder is the other device's own; here it stands for one that has the same path."""
    one, two = await start("Laptop"), await start("Phone")
    await pair(one, two)
    folder = tmp_path / "notes"
    rent = await keep_file(one, folder / "rent.md", RENT)
    await has(two, rent)
    if both:
        await keep_file(two, folder / "rent.md", RENT)
    folder.mkdir()
    (folder / "other.md").write_text("Water the plants on Sunday.", encoding="utf-8")

    def prune() -> Import:
        run = Import(CliDaemon(two.home), quiet=True)
        run.add((str(folder),), prune=True)
        return run

    assert (await asyncio.to_thread(prune)).gone == []
    for device in (one, two):
        await device.until(lambda shown: len(shown["documents"]) == 2, "/library")
    await one.level()
    assert rent in {d["id"] for d in (await two.call("GET", "/library"))["documents"]}
    await one.daemon._services.importer.leave(OWNER, rent, str(folder / "rent.md"))
    for device in (one, two):
        await device.until(lambda shown: len(shown["documents"]) == 1, "/library")


async def test_an_add_of_what_another_device_had_added_counts(start: Start, tmp_path: Path) -> None:
    one, two = await start("Laptop"), await start("Phone")
    rent = await add(one, "Rent", RENT)
    await pair(one, two)
    await has(two, rent)
    await two.away()
    same = await keep_file(two, tmp_path / "rent.txt", RENT)
    await one.call("DELETE", f"/library/{rent}")
    await has(one)
    await two.back()
    await two.linked("Laptop")
    for device in (one, two):
        await device.until(lambda s: len(s["documents"]) == 1, "/library")
    assert same == rent, "the same bytes are one document"
    await one.level()


async def test_who_joins_gets_what_two_devices_added_alike_and_what_comes_after(
    start: Start, tmp_path: Path
) -> None:
    """The same bytes twice, and the same text in other bytes: one payload for all of them."""
    one, two, three = await start("Laptop"), await start("Phone"), await start("Tablet")
    plain = RENT.replace("# Rent", "Rent")
    for device in (one, two):
        await keep_file(device, tmp_path / device.name / "rent.txt", plain)
    await keep_file(one, tmp_path / "rent.txt", "\ufeff" + plain)
    await pair(one, two)
    await two.until(lambda shown: len(shown["documents"]) == 2, "/library")
    await join(one, three)
    await three.until(lambda shown: len(shown["documents"]) == 2, "/library")
    tank = await add(one, "टंकी", TANKI)
    await three.until(lambda s: tank in {d["id"] for d in s["documents"]}, "/library")

    def settled(connection: sqlite3.Connection) -> bool:
        rows = connection.execute("SELECT 1 FROM shared_documents WHERE state = 'coming'")
        return rows.fetchone() is None

    async with asyncio.timeout(30):
        while not await three.daemon._store.query(settled):
            await asyncio.sleep(0.05)  # a document is seen a moment before it is noted as here
    await three.level()


async def test_a_document_that_two_devices_added_stays_until_both_removed_it(start: Start) -> None:
    one, two = await start("Laptop"), await start("Phone")
    await add(one, "Rent", RENT)
    await add(two, "Rent", RENT)
    await pair(one, two)
    await one.level()
    for device in (one, two):
        assert len((await device.call("GET", "/library"))["documents"]) == 1
    (mine,) = (await one.call("GET", "/library"))["documents"]
    await one.call("DELETE", f"/library/{mine['id']}")
    await has(two)  # it knew of both adds, so it removed both
    await one.level()
