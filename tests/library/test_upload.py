"""Uploads at the door of the library: names that are none."""

from __future__ import annotations

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


@pytest.mark.parametrize(
    ("name", "source"), [(b"a\xff.txt", "a?.txt"), (b"n" * 5000 + b".txt", "n" * 4096)]
)
async def test_a_file_name_in_no_encoding_or_without_end_is_made_good(
    importer: Importer, store: Store, name: bytes, source: str
) -> None:
    calls = LibraryCalls(store, importer, 1)
    owner = Grant("owner", frozenset({"*"}), "token")

    async def add(request: web.Request) -> web.StreamResponse:
        try:
            return await calls.add(Call(request, owner))
        except RegendError as error:
            return web.json_response(error.code, status=error.status)

    app = web.Application()
    app.router.add_post("/", add)
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\n\r\n%b\r\n--b--'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    async with TestClient(TestServer(app, host="127.0.0.1")) as client:
        taken = await client.post("/", data=part % (name, b"Some words."), headers=headers)
        assert taken.status == 201, await taken.text()
        assert (await taken.json())["source"] == source
        refused = await client.post("/", data=part % (name, b"..."), headers=headers)
        assert (refused.status, await refused.json()) == (400, "document_empty")
    on_record = await store.query(lambda c: unreadable.listing(c, "owner", 9))
    assert [one["source"] for one in on_record] == [source]
