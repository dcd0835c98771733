"""What is in the library of one device is in that of the others."""

from __future__ import annotations

from typing import Any

from tests.mesh.conftest import Device, Start, pair

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
