"""Importing into a real store: files, folders, addresses, captures, and enemies."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from regend.errors import NotFound, RegendError
from regend.library import index, unreadable
from regend.library.importer import Importer
from regend.library.search import search
from regend.store.store import Store
from tests.library.test_extract import PAGE, pdf


async def titles(store: Store, user: str = "owner") -> list[str]:
    rows, _ = await store.query(lambda c: index.list_documents(c, user, 1000))
    return sorted(row.title for row in rows)


async def found(store: Store, question: str) -> list[str]:
    hits = await store.query(lambda c: search(c, "owner", question))
    return [hit.title for hit in hits]


async def test_a_folder_is_imported_and_what_cannot_be_read_is_listed(
    importer: Importer, store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "docs"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "one.md").write_text("# One\n\nApples.", encoding="utf-8")
    (folder / "deep" / "er" / "two.txt").write_text("किताबें", encoding="utf-8")
    (folder / "page.html").write_bytes(PAGE)
    (folder / "report.pdf").write_bytes(pdf("Report text"))
    (folder / "secret.pdf").write_bytes(pdf("Secret", password="x"))
    (folder / "scan.pdf").write_bytes(pdf(""))
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    (folder / "picture.png").write_bytes(b"\x89PNG\0\0")
    (folder / "empty.md").write_bytes(b"")
    (folder / ".hidden.md").write_text("hidden", encoding="utf-8")
    (folder / "circle").symlink_to(folder)
    (folder / "outside.md").symlink_to("/etc/hostname")
    (folder / "nowhere.md").symlink_to(folder / "missing")
    os.mkfifo(folder / "pipe.md")
    (folder / os.fsdecode(b"bad\xffname.md")).write_text("A name in no encoding.", encoding="utf-8")
    steps: list[tuple[int, int]] = []
    report = await importer.import_folder(folder, "owner", lambda d, t: steps.append((d, t)))
    assert len(report.added) == 5
    assert {Path(one.source).name: one.code for one in report.unreadable} == {
        "secret.pdf": "document_encrypted",
        "scan.pdf": "document_empty",
        "broken.pdf": "document_broken",
        "picture.png": "media_type_unknown",
        "empty.md": "document_empty",
        ".hidden.md": "hidden",
        "circle": "link_not_followed",
        "outside.md": "link_leads_out",
        "nowhere.md": "link_broken",
        "pipe.md": "media_type_unknown",
    }
    assert all(one.reason for one in report.unreadable)
    assert steps == [(i, 11) for i in range(1, 12)]
    assert await found(store, "किताब?") == ["two"]
    again = await importer.import_folder(folder, "owner")
    assert (len(again.added), len(again.unchanged)) == (0, 5)


async def test_a_changed_file_takes_the_place_of_its_old_self(
    importer: Importer, store: Store, tmp_path: Path
) -> None:
    file = tmp_path / "note.md"
    file.write_text("The colour is red.", encoding="utf-8")
    await importer.import_file(file, "", "owner")
    file.write_text("The colour is blue.", encoding="utf-8")
    await importer.import_file(file, "", "owner")
    assert await titles(store) == ["note"]
    assert await found(store, "red") == []
    assert await found(store, "blue") == ["note"]


async def test_uploads_of_one_name_stay_apart(importer: Importer, store: Store) -> None:
    await importer.import_file(b"First words.", "note.md", "owner")
    await importer.import_file(b"Other words.", "note.md", "owner")
    assert await titles(store) == ["note", "note"]


async def test_a_changed_upload_from_a_named_place_takes_the_place_of_its_old_self(
    importer: Importer, store: Store
) -> None:
    await importer.import_file(b"The colour is red.", "/notes/note.md", "owner")
    await importer.import_file(b"The colour is green.", "/notes/other.md", "owner")
    await importer.import_file(b"The colour is blue.", "/notes/note.md", "owner")
    assert await titles(store) == ["note", "other"]
    assert await found(store, "red") == []
    assert await found(store, "blue") == ["note"]


async def test_bytes_are_hashed_and_decoded_away_from_the_event_loop(
    importer: Importer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    threads: list[threading.Thread] = []

    class Watched(bytes):
        def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
            threads.append(threading.current_thread())
            return super().decode(encoding, errors)

    def watched(data: bytes) -> Any:
        threads.append(threading.current_thread())
        return sha256(data)

    sha256 = hashlib.sha256
    monkeypatch.setattr(hashlib, "sha256", watched)
    file = tmp_path / "a.md"
    file.write_bytes(b"One word.")
    await importer.import_file(Watched(b"Two words."), "b.md", "owner")
    await importer.import_file(file, "", "owner")
    await importer.import_capture(title="c", source="c", user="owner", text="Three words.")
    assert len(threads) >= 4
    assert threading.current_thread() not in threads


async def test_fifty_imports_of_the_same_bytes_at_once_make_one_document(
    importer: Importer, store: Store
) -> None:
    data = b"# Same\n\n" + b"Some words here. " * 20
    added = await asyncio.gather(
        *(importer.import_file(data, f"{i}.md", "owner") for i in range(50))
    )
    assert sum(one.is_new for one in added) == 1
    assert len({one.document.id for one in added}) == 1


async def test_a_long_document_is_stored_in_turns_once_also_when_sent_twice(
    importer: Importer, store: Store
) -> None:
    data = "".join(f"# Part {i}\n\nUnique{i} words.\n\n" for i in range(3000)).encode()
    added = await asyncio.gather(*(importer.import_file(data, "a.md", "owner") for _ in range(2)))
    assert sorted(one.is_new for one in added) == [False, True]
    assert await found(store, "unique2999") == ["Part 0"]
    assert await store.query(index.unfinished) == []


async def test_one_line_of_fifty_megabytes_is_refused_and_leaves_nothing(
    importer: Importer, store: Store
) -> None:
    with pytest.raises(RegendError) as caught:
        await importer.import_file(b"x" * 50_000_000, "line.txt", "owner")
    assert caught.value.code == "document_too_large"
    with pytest.raises(RegendError) as caught:
        await importer.import_file(bytes(61 * 1024 * 1024), "big.txt", "owner")
    assert caught.value.code == "document_too_large"
    assert await titles(store) == []


async def test_a_capture_is_stored_as_untrusted_with_its_title(
    importer: Importer, store: Store
) -> None:
    added = await importer.import_capture(
        title="A \ud800 title\0\n x", source="https://a.b/\0c", user="owner", html=PAGE.decode()
    )
    assert added.document.untrusted
    assert added.document.title == "A title x"
    assert added.document.source == "https://a.b/c"
    assert added.document.media_type == "text/html"
    text = "Right \u202eto left, nul \0 and \ud800 alone."
    other = await importer.import_capture(title="", source="s", user="owner", text=text)
    assert await store.query(lambda c: index.document_text(c, "owner", other.document.id))


async def test_a_capture_needs_html_or_text(importer: Importer) -> None:
    for html, text in ((None, None), ("a", "b")):
        with pytest.raises(RegendError) as caught:
            await importer.import_capture(title="t", source="s", user="u", html=html, text=text)
        assert caught.value.code == "capture_invalid"


async def test_a_page_is_fetched_and_imported_as_untrusted(
    importer: Importer, store: Store
) -> None:
    async def page(request: web.Request) -> web.StreamResponse:
        return web.Response(body=PAGE, content_type="text/html")

    app = web.Application()
    app.router.add_get("/page", page)
    async with TestServer(app, host="127.0.0.1") as server:
        added = await importer.import_url(str(server.make_url("/page")), "owner")
        again = await importer.import_url(str(server.make_url("/page")), "owner")
    assert added.document.untrusted
    assert added.document.source.endswith("/page")
    assert not again.is_new
    assert await found(store, "port 7867?") == ["My page"]


async def test_a_removed_document_is_gone_and_only_its_owner_can_remove_it(
    importer: Importer, store: Store
) -> None:
    added = await importer.import_file(b"Some words.", "a.md", "owner")
    with pytest.raises(NotFound):
        await importer.remove("other", added.document.id)
    await importer.remove("owner", added.document.id)
    assert await titles(store) == []
    assert await found(store, "words") == []


async def test_what_an_interrupted_import_left_is_cleared_at_the_start(
    importer: Importer, store: Store
) -> None:
    data = "".join(f"# Part {i}\n\nWords.\n\n" for i in range(3000)).encode()
    task = asyncio.create_task(importer.import_file(data, "a.md", "owner"))
    while not await store.query(index.unfinished):
        assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await titles(store) == []
    await importer.start()
    assert await store.query(index.unfinished) == []
    assert (await store.query(lambda c: c.execute("SELECT count(*) FROM passages").fetchone()))[
        0
    ] == 0


async def test_a_folder_that_is_not_there_is_said_so(importer: Importer, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        await importer.import_folder(tmp_path / "missing", "owner")
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(RegendError) as caught:
        await importer.import_folder(tmp_path / "file", "owner")
    assert caught.value.code == "not_a_folder"


async def test_an_import_that_is_going_on_is_not_cleared_by_a_late_start(
    importer: Importer, store: Store
) -> None:
    data = "".join(f"# Part {i}\n\nWords.\n\n" for i in range(3000)).encode()
    task = asyncio.create_task(importer.import_file(data, "a.md", "owner"))
    while not await store.query(index.unfinished):
        assert not task.done()
    await importer.start()
    added = await task
    assert await found(store, "words") == ["Part 0"] * 10
    assert added.document.passages == 3000


async def test_what_could_not_be_read_is_on_record_until_it_can(
    importer: Importer, store: Store, tmp_path: Path
) -> None:
    file = tmp_path / "notes.txt"
    file.write_bytes(b"\x00\x01\x02" * 50)
    with pytest.raises(RegendError):
        await importer.import_file(file, "", "asha")
    (refused,) = await store.query(lambda c: unreadable.listing(c, "asha", 10))
    assert refused["source"].endswith("notes.txt")
    assert refused["reason"]
    assert await store.query(lambda c: unreadable.listing(c, "ravi", 10)) == []
    file.write_text("Readable now.", encoding="utf-8")
    await importer.import_file(file, "", "asha")
    assert await store.query(lambda c: unreadable.listing(c, "asha", 10)) == []
