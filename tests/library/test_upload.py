"""Uploads at the door of the library: names that are none, and more than there is room for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from regend.api.call import Call
from regend.api.library import LibraryCalls
from regend.api.tokens import Grant
from regend.errors import RegendError
from regend.library import unreadable
from regend.library.importer import Importer
from regend.store.store import Store


def door(store: Store, importer: Importer) -> web.Application:
    calls = LibraryCalls(store, importer, 1)
    owner = Grant("owner", frozenset({"*"}), "token")

    async def add(request: web.Request) -> web.StreamResponse:
        try:
            return await calls.add(Call(request, owner))
        except RegendError as error:
            return web.json_response(error.to_dict(), status=error.status)

    app = web.Application()
    app.router.add_post("/", add)
    return app


@pytest.mark.parametrize(
    ("name", "source"), [(b"a\xff.txt", "a?.txt"), (b"n" * 5000 + b".txt", "n" * 4096)]
)
async def test_a_file_name_in_no_encoding_or_without_end_is_made_good(
    importer: Importer, store: Store, name: bytes, source: str
) -> None:
    app = door(store, importer)
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\n\r\n%b\r\n--b--'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    async with TestClient(TestServer(app, host="127.0.0.1")) as client:
        taken = await client.post("/", data=part % (name, b"Some words."), headers=headers)
        assert taken.status == 201, await taken.text()
        assert (await taken.json())["source"] == source
        refused = await client.post("/", data=part % (name, b"..."), headers=headers)
        assert (refused.status, (await refused.json())["code"]) == (400, "document_empty")
    on_record = await store.query(lambda c: unreadable.listing(c, "owner", 9))
    assert [one["source"] for one in on_record] == [source]


@pytest.mark.parametrize(
    ("bound", "value"), [("IMPORTS_AT_ONCE", 2), ("IMPORT_BYTES_AT_ONCE", 2_500)]
)
async def test_what_there_is_no_room_for_is_refused_unread_until_others_are_done(
    importer: Importer,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    bound: str,
    value: int,
) -> None:
    monkeypatch.setattr(f"regend.api.library.{bound}", value)
    go_on = asyncio.Event()
    begin = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.md"\r\n\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": "1000"}

    async def slow(number: int) -> AsyncIterator[bytes]:
        yield begin
        await go_on.wait()
        text = f"Document {number}. ".encode()
        end = b"\r\n--b--"
        yield text + b"." * (1000 - len(begin + text + end)) + end

    async with TestClient(TestServer(door(store, importer), host="127.0.0.1")) as client:
        held = [
            asyncio.create_task(client.post("/", data=slow(number), headers=headers))
            for number in (1, 2)
        ]
        refused = None
        while refused is None or refused.status == 400:  # until both are at the door
            refused = await client.post("/", data=b"x" * 1000, headers=headers)
            await asyncio.sleep(0.01)
        answer = await refused.json()
        assert (refused.status, answer["code"], answer["retryable"]) == (503, "library_busy", True)
        assert answer["retry_after_s"] > 0
        go_on.set()
        assert [(await one).status for one in held] == [201, 201]
        assert (await client.post("/", data=slow(3), headers=headers)).status == 201


@pytest.mark.parametrize(
    "begin",
    [
        b"",
        b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n",
        b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--b--\r\n',
    ],
)
async def test_a_body_without_end_in_which_no_file_comes_is_ended_and_others_are_served_meanwhile(
    importer: Importer, store: Store, begin: bytes
) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    sent = 0

    async def lines() -> AsyncIterator[bytes]:
        nonlocal sent
        yield begin
        while True:
            sent += 1
            yield b"a\n" * 32_000

    async with TestClient(TestServer(door(store, importer), host="127.0.0.1")) as client:
        async with asyncio.timeout(20):
            refused = await client.post("/", data=lines(), headers=headers)
        assert refused.status == 400
        assert (await refused.json())["code"] in ("multipart_invalid", "file_missing")
        refused.close()


async def test_lines_before_the_first_boundary_let_others_have_their_turn(
    importer: Importer, store: Store
) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    part = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.md"\r\n\r\nHi.\r\n--b--'
    )
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with TestClient(TestServer(door(store, importer), host="127.0.0.1")) as client:
        body = b"\n" * 4000 + part
        request = asyncio.create_task(client.post("/", data=body, headers=headers))
        task = asyncio.create_task(others())
        assert (await request).status == 201
        task.cancel()
    assert turns > 4000 // 64
