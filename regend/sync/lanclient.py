"""Calls another device on the local network: a member by its certificate, an inviter to pair.

No name is resolved and no proxy asked: an address is an IP address, and it must be near. A member
is dialled with its own certificate as the only one that will do, so whoever answers in its place
gets no further than TLS.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp
from aiohttp import hdrs
from yarl import URL

from regend.errors import Busy, NotAllowed, Refused, RegendError, Retryable
from regend.limits import LINK_CLOSE_S, LINK_CONNECT_S, LINK_SILENCE_S, WELCOME_MESSAGE_BYTES
from regend.sync.device import device_of_certificate
from regend.sync.lanserver import MESH_PATH, PAIR_PATH
from regend.sync.link import Link
from regend.sync.near import is_near, plain, written
from regend.sync.pairingchannel import PairingChannel
from regend.sync.tls import Credentials, member_context, newcomer_context
from regend.sync.weblink import MAX_SOCKET_MESSAGE_BYTES, WebLink


async def connect(
    credentials: Credentials,
    address: str,
    port: int,
    certificate: bytes,
    *,
    silence_s: float = LINK_SILENCE_S,
) -> Link:
    """Return a link to the member whose certificate this is.

    Args:
        credentials: of this device.
        address: an IP address; a link-local one of IPv6 with its zone.
        certificate: the other device's (DER), from the roster.
        silence_s: after so long without a sign of life the other device is gone.

    Raises:
        Refused: `address_not_near`; or `wrong_device`, another one answered.
        NotAllowed: `not_a_member`; the other device does not take this one for a member.
        Retryable: `device_unreachable`.
        Busy: `device_busy`.
    """
    device = device_of_certificate(certificate)
    context = member_context(credentials, certificate)
    line = await _dial(address, port, MESH_PATH, context, MAX_SOCKET_MESSAGE_BYTES)
    if line.certificate != certificate:
        await line.session.close()
        raise _wrong_device(line.address)
    return WebLink(line.socket, device, line.address, line.session.close, silence_s=silence_s)


async def connect_for_pairing(address: str, port: int) -> PairingChannel:
    """Return a channel to a device that invites; who it is, the pairing must show.

    Raises:
        Refused: `address_not_near`.
        NotAllowed: `not_inviting`.
        Retryable: `device_unreachable`.
        Busy: `device_busy`.
    """
    line = await _dial(address, port, PAIR_PATH, newcomer_context(), WELCOME_MESSAGE_BYTES + 1)
    return PairingChannel(line.socket, line.address, line.certificate, line.session.close)


@dataclass(frozen=True, slots=True)
class _Line:
    """An open WebSocket, and the session whose end ends it."""

    session: aiohttp.ClientSession
    socket: aiohttp.ClientWebSocketResponse
    address: str
    certificate: bytes


async def _dial(
    address: str, port: int, path: str, context: ssl.SSLContext, max_message_bytes: int
) -> _Line:
    if not is_near(address):
        raise Refused(
            "address_not_near",
            f"{address} is not an address of a local network.",
            hint="Devices call one another at private addresses only; elsewhere use a relay.",
        )
    where = written(address, port)
    session = aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=(hdrs.USER_AGENT, hdrs.ACCEPT, hdrs.ACCEPT_ENCODING),
        middlewares=(_open_or_end,),
    )
    try:
        async with asyncio.timeout(LINK_CONNECT_S):
            socket = await session.ws_connect(
                URL.build(scheme="https", host=address, port=port, path=path),
                ssl=context,
                server_hostname=plain(address),  # an address names no server in TLS: nothing shows
                max_msg_size=max_message_bytes,
                autoping=False,
                timeout=aiohttp.ClientWSTimeout(ws_close=LINK_CLOSE_S),
            )
        shown = socket.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return _Line(session, socket, where, shown)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        await session.close()
        raise _refused(where, path, error) from error
    except BaseException:
        await session.close()
        raise


async def _open_or_end(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Take no answer but an open WebSocket: aiohttp would follow one that leads elsewhere."""
    response = await handler(request)
    if response.status != HTTPStatus.SWITCHING_PROTOCOLS:
        raise aiohttp.WSServerHandshakeError(
            response.request_info, response.history, status=response.status
        )
    return response


def _refused(where: str, path: str, error: Exception) -> RegendError:
    """Return what it means for a person that a call failed."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return _wrong_device(where)
    if isinstance(error, aiohttp.WSServerHandshakeError):
        if error.status in (429, 503):
            return Busy("device_busy", f"The device at {where} takes no more calls just now.")
        return _not_a_member(where) if path == MESH_PATH else _not_inviting(where)
    if _is_turned_away(error):
        return _not_a_member(where) if path == MESH_PATH else _not_inviting(where)
    return Retryable(
        "device_unreachable", f"The device at {where} cannot be reached: {_in_words(error)}."
    )


def _in_words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer"
    beneath = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(beneath, ssl.SSLError) or not isinstance(beneath, OSError):
        return "what answers does not speak as a device does"
    return beneath.strerror or "the connection broke"


def _is_turned_away(error: Exception) -> bool:
    """Tell whether the other side hung up as soon as it knew who called.

    In TLS 1.3 this side believes to be connected before the other has looked at its certificate,
    and asyncio hangs up without telling why.
    """
    hung_up = isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError))
    return hung_up and not isinstance(error, aiohttp.ClientConnectorError)


def _wrong_device(where: str) -> Refused:
    return Refused("wrong_device", f"Another device than the one expected answers at {where}.")


def _not_a_member(where: str) -> NotAllowed:
    return NotAllowed(
        "not_a_member",
        f"The device at {where} does not take this one for a member of its mesh.",
        hint="It may not know of it yet, or this device was revoked: regend devices list",
    )


def _not_inviting(where: str) -> NotAllowed:
    return NotAllowed(
        "not_inviting",
        f"The device at {where} does not invite anybody now.",
        hint="Run there: regend devices invite",
    )
