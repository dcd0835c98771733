"""Fetching a page that the owner named, without letting it reach into the owner's network.

1. http and https only, no credentials in the address.
2. At every hop the host is resolved, every address checked, and the connection goes to a checked
   address: a name that resolves differently a moment later changes nothing.
3. Redirects are followed by hand, so each is such a hop.
4. Size, time and decompression are bounded; what is no text or PDF is refused by its type.
5. No cookies, no proxies of the environment, no referrer.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from regend.errors import BadInput, Busy, Failed, Refused, RegendError, Retryable, TooLarge
from regend.library.refusals import unknown_type
from regend.limits import FETCH_BYTES, FETCH_REDIRECTS, FETCH_TIMEOUT_S

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Lookup = Callable[[str, int], Awaitable[list[str]]]

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_NAT64: Final = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
_NEVER: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("0.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "192.88.99.0/24", "224.0.0.0/3"),
        *("::/128", "fe80::/10", "fec0::/10", "ff00::/8", "100::/64"),
        *("::ffff:0:0:0/96", "5f00::/16"),  # translated IPv4; segments of a route
    )
)
_TYPES: Final = ("text/", "application/xhtml+xml", "application/pdf")
_CHUNK_BYTES = 64 * 1024
_MAX_URL_CHARACTERS = 8192


@dataclass(frozen=True, slots=True)
class Fetched:
    """A page as it came.

    Attributes:
        url: where it was found in the end, after redirects.
        media_type: as the server declared it, empty if it did not.
        data: the body, decompressed.
    """

    url: str
    media_type: str
    data: bytes


async def fetch(
    url: str,
    *,
    allow_private: bool = False,
    lookup: Lookup | None = None,
    max_bytes: int = FETCH_BYTES,
    timeout_s: float = FETCH_TIMEOUT_S,
) -> Fetched:
    """Return the page at an address.

    Args:
        url: an http or https address.
        allow_private: also go to loopback and private addresses; link-local ones stay refused.
        lookup: resolves (host, port) to addresses; the system's resolver by default.
        max_bytes: bound of the body, compressed and not.
        timeout_s: bound of everything together.

    Raises:
        BadInput: the address is none that can be fetched.
        Refused: it, or a redirect, leads to an address that is not public.
        TooLarge: the page is over the bound.
        WrongMediaType: what is there is neither text nor PDF.
        Busy: `offline`, there is no network.
        Retryable: the server did not answer, or not in time.
        Failed: the server answered with an error.
    """
    resolver = _GuardedResolver(lookup or _system_lookup, allow_private)
    connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, limit=1)
    try:
        async with (
            asyncio.timeout(timeout_s),
            aiohttp.ClientSession(
                connector=connector,
                auto_decompress=False,
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            ) as session,
        ):
            return await _follow(session, _checked(url, allow_private), allow_private, max_bytes)
    except TimeoutError:
        raise _unreachable(f"{url[:200]} did not answer within {timeout_s:g} seconds.") from None
    except aiohttp.ClientError as error:
        raise _translated(error, url) from error


async def _follow(
    session: aiohttp.ClientSession, url: URL, allow_private: bool, max_bytes: int
) -> Fetched:
    for _ in range(FETCH_REDIRECTS + 1):
        headers = {"Accept-Encoding": "gzip, deflate", "Accept": "text/html, text/*, */*;q=0.5"}
        async with session.get(url, headers=headers, allow_redirects=False) as response:
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or location is None:
                return await _body(response, max_bytes)
        url = _checked(location, allow_private, url)
    raise Failed("fetch_failed", f"{url} was reached after more than {FETCH_REDIRECTS} redirects.")


def _checked(text: str, allow_private: bool, base: URL | None = None) -> URL:
    """Return an address that may be tried, resolved against the page that redirected to it."""
    try:
        url = URL(text[:_MAX_URL_CHARACTERS].strip())
        url = base.join(url) if base else url
        host, port = url.host, url.port
        (host or "").encode("idna")  # as it will be asked for: its parts have a greatest length
    except ValueError as error:
        raise _bad_url(f"“{text[:200]}” is no web address.") from error
    is_web = url.scheme in ("http", "https") and host and port
    if not is_web or host is None or any(map(str.isspace, host)):
        raise _bad_url(f"“{text[:200]}” is no http or https address.")
    if url.user is not None or url.password is not None:
        raise _bad_url("An address with a name or password in it is not fetched.")
    if (literal := _literal(host)) is not None and not is_allowed(literal, allow_private):
        raise _private(host)
    return url


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def is_allowed(address: Address, allow_private: bool = False) -> bool:
    """Tell whether a connection may go to an address.

    An IPv6 address that stands for an IPv4 one (mapped, compatible, 6to4, Teredo, NAT64) is judged
    by that one as well.
    """
    if any(address.version == net.version and address in net for net in _NEVER):
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = _embedded(address)
        if inner:
            return all(is_allowed(one, allow_private) for one in inner)
    if address.is_multicast or address.is_unspecified or address.is_link_local:
        return False
    return address.is_global or (allow_private and not address.is_reserved)


def _embedded(address: ipaddress.IPv6Address) -> list[Address]:
    """Return the IPv4 addresses inside an IPv6 address."""
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address.sixtofour is not None:
        return [address.sixtofour]
    if address.teredo is not None:
        return list(address.teredo)
    low = int(address) & 0xFFFF_FFFF
    is_compatible = int(address) >> 32 == 0 and low > 1  # ::1 is loopback and no IPv4 address
    if is_compatible or any(address in net for net in _NAT64):
        return [ipaddress.IPv4Address(low)]
    return []


class _GuardedResolver(AbstractResolver):
    """Gives aiohttp checked addresses only; it connects to exactly these."""

    def __init__(self, lookup: Lookup, allow_private: bool) -> None:
        self._lookup = lookup
        self._allow_private = allow_private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host.

        Raises:
            Refused: one of them is not allowed; a host with a foot inside is not trusted outside.
        """
        found = await self._lookup(host, port)
        addresses = [ipaddress.ip_address(text.partition("%")[0]) for text in found]
        if not all(is_allowed(address, self._allow_private) for address in addresses):
            raise _private(host)
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET6 if address.version == 6 else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Hold nothing, free nothing."""


async def _system_lookup(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def _body(response: aiohttp.ClientResponse, max_bytes: int) -> Fetched:
    """Read a response within the bound.

    Raises:
        Failed: the server answered with an error, or sent what it did not announce.
        TooLarge: the body is over the bound.
        WrongMediaType: it is neither text nor PDF.
    """
    if response.status != 200:
        raise Failed(
            "fetch_failed",
            f"{response.url} answered with {response.status} {response.reason}.",
            hint="Open the address in a browser to see what it says.",
        )
    media_type = response.headers.get("Content-Type", "")
    if media_type and not media_type.strip().lower().startswith(_TYPES):
        raise unknown_type(f"{response.url} is of the type {media_type[:100]}.")
    if (response.content_length or 0) > max_bytes:
        raise _too_large(max_bytes)
    inflater = _Inflater(response.headers.get("Content-Encoding", ""), max_bytes)
    received = 0
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        received += len(chunk)
        if received > max_bytes:
            raise _too_large(max_bytes)
        inflater.feed(chunk)
    return Fetched(str(response.url), media_type, inflater.finish())


class _Inflater:
    """Undoes gzip and deflate, never making more than the bound out of whatever it is fed."""

    def __init__(self, encoding: str, max_bytes: int) -> None:
        self._encoding = encoding.strip().lower()
        if self._encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise Failed("fetch_failed", f"The server used the encoding “{encoding[:40]}” unasked.")
        self._max_bytes = max_bytes
        self._made = bytearray()
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)
        self._is_first = True

    def feed(self, chunk: bytes) -> None:
        """Take the next stretch of the body."""
        if self._encoding in ("", "identity"):
            self._made += chunk
            return
        room = self._max_bytes + 1 - len(self._made)
        try:
            self._made += self._decompressed(chunk, room)
        except zlib.error as error:
            raise Failed("fetch_failed", "The page came damaged: it cannot be unpacked.") from error
        if len(self._made) > self._max_bytes:
            raise _too_large(self._max_bytes)

    def _decompressed(self, chunk: bytes, room: int) -> bytes:
        is_first, self._is_first = self._is_first, False
        try:
            return self._inflate.decompress(chunk, room)
        except zlib.error:
            if not is_first or self._encoding != "deflate":
                raise
        # Some servers send deflate without the zlib header that HTTP asks for.
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        return self._inflate.decompress(chunk, room)

    def finish(self) -> bytes:
        """Return the whole body."""
        if self._encoding not in ("", "identity") and not self._inflate.eof and not self._is_first:
            raise _unreachable("The page broke off before its end.")
        return bytes(self._made)


def _translated(error: aiohttp.ClientError, url: str) -> RegendError:
    """Return the error that tells a person what is the matter with the connection."""
    reason = getattr(error, "os_error", None) or error
    number = getattr(reason, "errno", None)
    no_route = number in (errno.ENETUNREACH, errno.ENETDOWN)
    unresolved = isinstance(reason, socket.gaierror)
    if no_route or (unresolved and (number == socket.EAI_AGAIN or not _has_route())):
        return Busy(
            "offline",
            "There is no network.",
            hint="Research goes on with what is in the library; fetch the page later.",
        )
    if isinstance(error, aiohttp.InvalidURL):
        return _bad_url(f"“{url[:200]}” is no web address.")
    if unresolved:
        return BadInput("fetch_failed", f"The host of {url[:200]} does not exist.", field="url")
    return _unreachable(f"{url[:200]} could not be fetched: {reason}.")


def _has_route() -> bool:
    """Tell whether the machine has a way out; connecting a datagram socket sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 53))
        except OSError:
            return False
    return True


def _bad_url(message: str) -> BadInput:
    return BadInput("url_invalid", message, hint="Give an address like https://…", field="url")


def _private(host: str) -> Refused:
    return Refused(
        "address_not_public",
        f"{host} leads to an address that is not public, and is not fetched.",
        hint="To allow your own network, set library.allow_private_addresses in config.toml.",
        field="url",
    )


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(
        "document_too_large",
        f"The page is larger than {max_bytes // (1024 * 1024)} MiB.",
        hint="Download it yourself, and add the file.",
    )


def _unreachable(message: str) -> Retryable:
    return Retryable("fetch_failed", message, hint="Try again later.")
