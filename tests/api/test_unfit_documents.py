"""Documents that cannot be taken: refused with the reason, listed, and nothing of them is kept."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from tests.api.conftest import API, Answer, Running
from tests.library.test_extract import pdf

LIBRARY = f"{API}/library"


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def upload(running: Running, name: str, content: bytes) -> Answer:
    form = aiohttp.FormData()
    form.add_field("file", content, filename=name)
    return await running.call("POST", LIBRARY, data=form)


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("secret.pdf", pdf("A secret", password="sesame"), "document_encrypted"),
        ("broken.pdf", pdf("Whole once")[:300], "document_broken"),
        ("scan.pdf", pdf(""), "document_empty"),
        ("empty.md", b"", "document_empty"),
        ("blank.txt", b" \n\t\r\n ", "document_empty"),
        ("page.html", b"<html><script>only()</script></html>", "document_empty"),
        ("picture.png", b"\x89PNG\r\n\x1a\n" + bytes(100), "media_type_unknown"),
        ("program", b"\x7fELF" + bytes(200), "media_type_unknown"),
    ],
)
async def test_a_document_that_cannot_be_read_is_told_with_its_reason_and_not_kept(
    running: Running, name: str, content: bytes, code: str
) -> None:
    kept = await upload(running, "kept.md", b"A word worth keeping.")
    assert kept.status == 201
    before = files_in(running.home.blobs_dir)
    refused = await upload(running, name, content)
    assert 400 <= refused.status < 500
    assert refused.error["code"] == code and refused.error["message"]
    listed = (await running.call("GET", LIBRARY)).json
    assert [one["id"] for one in listed["documents"]] == [kept.json["id"]]
    (told,) = listed["unreadable"]
    assert (told["source"], told["code"]) == (name, code) and told["reason"]
    assert files_in(running.home.blobs_dir) == before
    hits = (await running.call("GET", f"{LIBRARY}/search?q=worth")).json["hits"]
    assert [hit["document_id"] for hit in hits] == [kept.json["id"]]
