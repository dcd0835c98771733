"""Importing into a real store: files, addresses, captures, and enemies."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from regend.clock import SystemClock
from regend.config import LibraryConfig
from regend.errors import Busy, NotFound, RegendError
from regend.library import index, unreadable
from regend.library.importer import Importer
from regend.library.search import search
from regend.store.store import Store
from tests.library.test_extract import PAGE


async def titles(store: Store, user: str = "owner") -> list[str]:
    rows, _ = await store.query(lambda c: index.list_documents(c, user, 1000))
    return sorted(row.title for row in rows)


async def found(store: Store, question: str) -> list[str]:
    hits = await store.query(lambda c: search(c, "owner", question))
    return [hit.title for hit in hits]


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
    importer: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []

    class Watched(bytes):
        def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
            threads.append(threading.current_thread())
            return super().decode(encoding, errors)

    class Told(str):
        def replace(self, old: str, new: str, count: Any = -1) -> str:
            threads.append(threading.current_thread())
            return super().replace(old, new, count)

    def watched(data: bytes) -> Any:
        threads.append(threading.current_thread())
        return sha256(data)

    sha256 = hashlib.sha256
    monkeypatch.setattr(hashlib, "sha256", watched)
    await importer.import_file(Watched(b"Two words."), "b.md", "owner")
    await importer.import_capture(title="c", source="c", user="owner", text=Told("Three words."))
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


async def test_a_long_import_that_is_broken_off_leaves_nothing_behind(
    importer: Importer, store: Store
) -> None:
    data = "".join(f"# Part {i}\n\nUnique{i} words.\n\n" for i in range(6000)).encode()
    importing = asyncio.create_task(importer.import_file(data, "a.md", "owner"))
    while not await store.query(index.unfinished):
        assert not importing.done()
        await asyncio.sleep(0)
    importing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await importing
    assert await store.query(index.unfinished) == []
    assert await titles(store) == await found(store, "unique1") == []


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
    importer: Importer, store: Store
) -> None:
    with pytest.raises(RegendError):
        await importer.import_file(b"\x00\x01\x02" * 50, "/notes/a.txt", "asha")
    (refused,) = await store.query(lambda c: unreadable.listing(c, "asha", 10))
    assert refused["source"] == "/notes/a.txt"
    assert refused["reason"]
    assert await store.query(lambda c: unreadable.listing(c, "ravi", 10)) == []
    await importer.import_file(b"Readable now.", "/notes/a.txt", "asha")
    assert await store.query(lambda c: unreadable.listing(c, "asha", 10)) == []


async def test_a_file_that_comes_to_be_like_another_leaves_its_old_self_to_nobody(
    importer: Importer, store: Store
) -> None:
    await importer.import_file(b"The colour is red.", "/notes/a.md", "owner")
    await importer.import_file(b"The colour is green.", "/notes/b.md", "owner")
    await importer.import_file(b"The colour is green.", "/notes/a.md", "owner")
    assert await found(store, "red") == []
    assert await found(store, "green") == ["b"]


async def test_a_file_that_moved_is_said_to_be_where_it_is(
    importer: Importer, store: Store
) -> None:
    old = await importer.import_file(b"The colour is red.", "/notes/a.md", "owner")
    moved = await importer.import_file(b"The colour is red.", "/letters/b.md", "owner")
    assert (moved.document.id, moved.is_new) == (old.document.id, False)
    assert moved.document.source == "/letters/b.md"
    (hit,) = await store.query(lambda c: search(c, "owner", "red"))
    assert hit.source == "/letters/b.md"
    upload = await importer.import_file(b"The colour is red.", "c.md", "owner")
    assert upload.document.source == "/letters/b.md"


async def documents(store: Store, user: str = "owner") -> dict[str, list[str]]:
    """Return the places of each document, by its title."""
    rows, _ = await store.query(lambda c: index.list_documents(c, user, 1000))
    assert all(row.source == row.places[0] for row in rows)
    return {row.title: list(row.places) for row in rows}


async def test_a_copy_keeps_its_place_when_another_of_it_changes(
    importer: Importer, store: Store
) -> None:
    key = b"The cellar key hangs behind the boiler."
    await importer.import_file(key, "/one/p1.txt", "owner")
    await importer.import_file(key, "/two/p2.txt", "owner")
    assert await documents(store) == {"p1": ["/two/p2.txt", "/one/p1.txt"]}
    await importer.import_file(b"Something about bicycles.", "/two/p2.txt", "owner")
    assert await documents(store) == {"p1": ["/one/p1.txt"], "p2": ["/two/p2.txt"]}
    assert await found(store, "cellar key") == ["p1"]
    await importer.import_file(b"Something about boats.", "/one/p1.txt", "owner")
    assert await found(store, "cellar key") == []


async def test_a_document_goes_with_the_last_of_its_places(
    importer: Importer, store: Store
) -> None:
    for place in ("/one/q1.txt", "/two/q2.txt"):
        added = await importer.import_file(b"Spare fuses lie in the tin.", place, "owner")
    id = added.document.id
    for user, place in (("owner", "/three"), ("other", "/two/q2.txt")):
        with pytest.raises(NotFound):
            await importer.leave(user, id, place)
    await importer.leave("owner", id, "/two/q2.txt")
    assert await documents(store) == {"q1": ["/one/q1.txt"]}
    await importer.leave("owner", id, "/one/q1.txt")
    assert await documents(store) == {} and await found(store, "fuses") == []
    await importer.import_file(b"Spare fuses lie in the tin.", "/one/q1.txt", "owner")
    assert await documents(store) == {"q1": ["/one/q1.txt"]}


async def test_what_a_person_brought_stays_when_a_place_with_the_same_bytes_changes(
    importer: Importer, store: Store
) -> None:
    await importer.import_file(b"The colour is red.", "mine.md", "owner")
    await importer.import_file(b"The colour is red.", "/notes/a.md", "owner")
    assert await documents(store) == {"mine": ["/notes/a.md", "mine.md"]}
    await importer.import_file(b"The colour is green.", "/notes/a.md", "owner")
    assert await documents(store) == {"mine": ["mine.md"], "a": ["/notes/a.md"]}


async def test_a_page_takes_the_place_of_its_earlier_self_and_of_no_capture(
    importer: Importer, store: Store
) -> None:
    words = iter(["The front page of Monday.", "The front page of Tuesday.", "Of Wednesday."])

    async def page(request: web.Request) -> web.StreamResponse:
        return web.Response(text=next(words), content_type="text/plain")

    app = web.Application()
    app.router.add_get("/", page)
    async with TestServer(app, host="127.0.0.1") as server:
        url = str(server.make_url("/"))
        for title, text in (
            ("one", "The ferry leaves at nine."),
            ("two", "The lighthouse opens."),
            ("three", "The front page of Tuesday."),
        ):
            await importer.import_capture(title=title, source=url, user="owner", text=text)
        for day in ("monday", "tuesday", "wednesday"):
            await importer.import_url(url, "owner")
            assert await found(store, day) != []
    assert {"one", "two", "three"} < set(await titles(store)) and len(await titles(store)) == 4
    assert await found(store, "monday") == [] and await found(store, "tuesday") == ["three"]


async def test_of_two_imports_of_one_place_the_one_that_began_later_holds_it(
    importer: Importer, store: Store
) -> None:
    slow = "".join(f"# Part {i}\n\nWords.\n\n" for i in range(3000)).encode()
    first = asyncio.create_task(importer.import_file(slow, "/notes/a.md", "owner"))
    while not await store.query(index.unfinished):
        assert not first.done()
    await importer.import_file(b"The colour is blue.", "/notes/a.md", "owner")
    added = await first
    assert await documents(store) == {"a": ["/notes/a.md"]}
    assert (added.document.digest, added.is_new) == (
        hashlib.sha256(b"The colour is blue.").hexdigest(),
        False,
    )
    assert await store.query(index.unfinished) == []


async def test_the_same_bytes_are_not_read_a_second_time(
    importer: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await importer.import_file(PAGE, "/notes/page.html", "owner")
    monkeypatch.setattr(asyncio, "create_subprocess_exec", None)  # no child can be started
    again = await importer.import_file(PAGE, "/notes/page.html", "owner")
    assert (again.document, again.is_new) == (first.document, False)


async def test_a_capture_is_measured_in_bytes(store: Store) -> None:
    importer = Importer(store, SystemClock(), LibraryConfig(max_upload_mb=1))
    with pytest.raises(RegendError) as caught:
        await importer.import_capture(title="t", source="s", user="o", text="क " * 300_000)
    assert caught.value.code == "document_too_large"
    await importer.import_capture(title="t", source="s", user="o", text="a " * 300_000)


async def test_a_crowd_that_waits_for_the_extractor_is_turned_away_beyond_its_bound(
    importer: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regend.library.extract.EXTRACTIONS_WAITING", 3)
    pages = [PAGE + b"<p>%d</p>" % i for i in range(12)]
    outcomes = await asyncio.gather(
        *(importer.import_file(page, "page.html", "owner") for page in pages),
        return_exceptions=True,
    )
    refused = [one for one in outcomes if isinstance(one, BaseException)]
    assert {type(one) for one in refused} == {Busy}
    assert 0 < len(refused) < 12
    added = await importer.import_file(pages[-1], "page.html", "owner")
    assert added.document.title == "My page"
