"""Fetching: what is refused, and what an honest server on loopback gives."""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
import zlib
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from regend.errors import RegendError
from regend.library.fetch import fetch, is_allowed

BOMB = gzip.compress(bytes(50_000_000))


async def _page(request: web.Request) -> web.StreamResponse:
    return web.Response(text="<p>a page</p>", content_type="text/html")


async def _redirect(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound(request.query["to"])


async def _encoded(request: web.Request) -> web.StreamResponse:
    body = {
        "gzip": gzip.compress(b"packed text"),
        "deflate": zlib.compress(b"packed text"),
        "raw": zlib.compress(b"packed text")[2:-4],
        "bomb": BOMB,
        "cut": gzip.compress(b"packed text" * 1000)[:-20],
        "damaged": b"\x1f\x8b\x08\x00" + b"\xff" * 100,
    }[request.match_info["how"]]
    encoding = "deflate" if request.match_info["how"] in ("deflate", "raw") else "gzip"
    return web.Response(
        body=body, headers={"Content-Encoding": encoding, "Content-Type": "text/plain"}
    )


async def _endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    while True:
        await response.write(b"x" * 65536)


async def _slow(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(60)
    return web.Response()


async def _picture(request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"\x89PNG", content_type="image/png")


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    app = web.Application()
    app.router.add_get("/page", _page)
    app.router.add_get("/redirect", _redirect)
    app.router.add_get("/encoded/{how}", _encoded)
    app.router.add_get("/endless", _endless)
    app.router.add_get("/slow", _slow)
    app.router.add_get("/picture", _picture)
    running = TestServer(app, host="127.0.0.1")
    async with running:
        yield running


async def code_of(url: str, *, allow_private: bool = True, **bounds: float) -> str:
    with pytest.raises(RegendError) as caught:
        await fetch(url, allow_private=allow_private, **bounds)  # type: ignore[arg-type]
    return caught.value.code


@pytest.mark.parametrize(
    "text",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254"),
        *("0.0.0.0", "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1"),
        *("::1", "::", "fe80::1", "fc00::1", "fec0::1", "ff02::1", "::ffff:10.0.0.1", "::7f00:1"),
        *("2002:7f00:1::", "64:ff9b::a00:1", "64:ff9b:1::a00:1", "2001:db8::1", "100::1"),
        *("2001:0:4136:e378:8000:63bf:80ff:fffe", "::ffff:0:7f00:1", "5f00::1"),
    ],
)
def test_an_address_that_is_not_public_is_refused(text: str) -> None:
    assert not is_allowed(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822"])
def test_a_public_address_is_allowed(text: str) -> None:
    assert is_allowed(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        *("169.254.169.254", "fe80::1", "224.0.0.1", "0.0.0.0", "::ffff:169.254.169.254"),
        *("::ffff:0:a9fe:a9fe", "5f00::1"),
    ],
)
def test_link_local_addresses_stay_refused_where_private_ones_are_allowed(text: str) -> None:
    assert not is_allowed(ipaddress.ip_address(text), allow_private=True)
    assert is_allowed(ipaddress.ip_address("192.168.1.1"), allow_private=True)


async def test_a_page_comes_with_its_type_and_last_address(server: TestServer) -> None:
    url = str(server.make_url("/page"))
    found = await fetch(str(server.make_url("/redirect").with_query(to=url)), allow_private=True)
    assert found.url == url
    assert found.data == b"<p>a page</p>"
    assert found.media_type.startswith("text/html")


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "127.1"],
)
async def test_loopback_is_refused_however_it_is_written(server: TestServer, host: str) -> None:
    assert await code_of(f"http://{host}:{server.port}/page", allow_private=False) in (
        "address_not_public",
        "url_invalid",
    )


@pytest.mark.parametrize(
    "to", ["http://169.254.169.254/latest/meta-data", "http://[fe80::1]/", "//0.0.0.0/"]
)
async def test_a_redirect_to_a_forbidden_address_is_refused(server: TestServer, to: str) -> None:
    url = str(server.make_url("/redirect").with_query(to=to))
    assert await code_of(url) == "address_not_public"


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://example.org/", "http://u:p@host/"])
async def test_a_redirect_to_another_scheme_or_with_a_password_is_refused(
    server: TestServer, to: str
) -> None:
    assert await code_of(str(server.make_url("/redirect").with_query(to=to))) == "url_invalid"


@pytest.mark.parametrize(
    "url",
    [
        *("", "page", "file:///etc/passwd", "http://", "http://user:pw@example.org/"),
        *("http://[::1", "javascript:alert(1)", "http://example.org:99999/", "http://a b/"),
        f"http://{'a' * 64}.org/",  # longer than the parts of a name may be
    ],
)
async def test_what_is_no_web_address_is_refused(url: str) -> None:
    assert await code_of(url) == "url_invalid"


async def test_a_circle_of_redirects_ends(server: TestServer) -> None:
    url = server.make_url("/redirect")
    assert await code_of(str(url.with_query(to="/redirect"))) == "fetch_failed"


async def test_a_name_is_resolved_once_and_one_bad_address_spoils_it(server: TestServer) -> None:
    asked = []

    async def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["93.184.216.34", "127.0.0.1"] if len(asked) == 1 else ["127.0.0.1"]

    with pytest.raises(RegendError) as caught:
        await fetch(f"http://rebind.example:{server.port}/page", lookup=rebinding)
    assert caught.value.code == "address_not_public"
    assert asked == ["rebind.example"]


@pytest.mark.parametrize("how", ["gzip", "deflate", "raw"])
async def test_packed_pages_are_unpacked(server: TestServer, how: str) -> None:
    found = await fetch(str(server.make_url(f"/encoded/{how}")), allow_private=True)
    assert found.data == b"packed text"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/encoded/bomb", "document_too_large"),
        ("/endless", "document_too_large"),
        ("/encoded/cut", "fetch_failed"),
        ("/encoded/damaged", "fetch_failed"),
        ("/picture", "media_type_unknown"),
        ("/nothing", "fetch_failed"),
    ],
)
async def test_what_is_no_page_is_refused(server: TestServer, path: str, code: str) -> None:
    assert await code_of(str(server.make_url(path)), max_bytes=1_000_000) == code


async def test_a_server_that_does_not_answer_is_left(server: TestServer) -> None:
    assert await code_of(str(server.make_url("/slow")), timeout_s=0.2) == "fetch_failed"


async def test_without_a_network_the_error_says_offline() -> None:
    import socket

    async def failing(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    with pytest.raises(RegendError) as caught:
        await fetch("https://example.org/", lookup=failing)
    assert (caught.value.code, caught.value.retryable) == ("offline", True)
