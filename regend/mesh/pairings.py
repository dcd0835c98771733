"""Pairing as a daemon does it: who is invited, how a device that shows a code is found."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from regend.clock import Clock
from regend.errors import BadInput, NotFound, RegendError
from regend.limits import DIAL_ADDRESSES, INVITER_LOOK_S
from regend.sync import authoring, words
from regend.sync.device import Identity
from regend.sync.discovery import Discovery
from regend.sync.entries import Entry
from regend.sync.epochs import Entropy
from regend.sync.invites import INVITE_S, TRIES, Invite, Invites, refusal
from regend.sync.lanclient import connect_for_pairing
from regend.sync.lanserver import MESH_PORT
from regend.sync.pairing import Inviter, Joiner, Welcome, refuse_second_mesh
from regend.sync.pairingchannel import PairingChannel
from regend.sync.pairingparts import told
from regend.sync.roster import Roster

log = logging.getLogger("regend.sync")

_LOOK_AGAIN_S: Final = 0.2


class Pairings:
    """The invites of this device, and its own joining.

    Args:
        welcome: given a function from the roster to the entry that adds a newcomer, stores what it
            returns durably and returns the whole roster as it travels.
    """

    def __init__(
        self,
        identity: Identity,
        clock: Clock,
        welcome: Callable[[Callable[[Roster], Entry | None]], Awaitable[list[bytes]]],
        entropy: Entropy,
    ) -> None:
        self._identity = identity
        self._clock = clock
        self._welcome = welcome
        self._entropy = entropy
        self._invites = Invites()
        self._newest: Invite | None = None
        self._name = ""
        self._mesh = b""

    @property
    def number(self) -> int | None:
        """The number of the newest invite while it is open, for others to find this device by."""
        newest = self._newest
        if newest is None or not newest.is_open(self._clock.monotonic_s()):
            return None
        return newest.code.number

    def open(self, name: str, mesh: bytes) -> dict[str, Any]:
        """Open an invite and return it as people see it.

        Args:
            name: of this device in the mesh.

        Raises:
            RateLimited: many are open.
        """
        self._name, self._mesh = name, mesh
        self._newest = self._invites.open(self._clock.monotonic_s(), self._entropy)
        return {"code": str(self._newest.code), "expires_in_s": INVITE_S, "tries": TRIES}

    async def invite(self, channel: PairingChannel) -> None:
        """Take a newcomer by the steps of `sync.pairing`."""
        inviter = Inviter(self._invites, self._identity, self._name, self._mesh, self._entropy)
        try:
            await channel.send(inviter.answer(await _next(channel), self._clock.monotonic_s()))
            newcomer = inviter.verify(await _next(channel), self._clock.monotonic_s())

            def add(roster: Roster) -> Entry | None:
                at_ms = self._clock.wall_ms()
                return authoring.add(
                    roster, self._identity, newcomer.device, newcomer.name, at_ms, self._entropy
                )

            await channel.send(inviter.welcome(await self._welcome(add)))
            log.info("“%s” joined", newcomer.name)
        except RegendError as error:
            log.info("a pairing with %s failed: %s", channel.address, error.message)
            await channel.send(told(error))

    async def join(
        self,
        code: str,
        address: str | None,
        name: str,
        roster: Roster | None,
        discovery: Discovery,
    ) -> tuple[Welcome, str]:
        """Return what a code lets this device into, and where the device that let it in is.

        The address is `host port`, as `peers` keeps it.

        Args:
            code: or the link that an invite's QR code holds, with the code and addresses in it.
            address: where to look; None for those of the link, or to look on the network.

        Raises:
            BadInput: code or address is none.
            NotFound: no device that shows the code was found.
            RegendError: what the pairing came to.
        """
        code, addresses = words.of_link(code)
        parsed = words.parse(code)
        refuse_second_mesh(self._identity, roster)
        at = [_typed_address(one) for one in ([address] if address else addresses)]
        at = at or await self._look_for(parsed.number, discovery)
        fault: RegendError | None = None
        for host, port in at:
            try:
                channel = await connect_for_pairing(host, port)
            except RegendError as error:
                fault = error
                continue
            joiner = Joiner(
                parsed, self._identity, name, roster, channel.certificate, self._entropy
            )
            try:
                await channel.send(joiner.hello())
                await channel.send(joiner.prove(await _next(channel)))
                welcome = await asyncio.to_thread(joiner.finish, await _next(channel))
                return welcome, f"{host} {port}"
            finally:
                await channel.close()
        assert fault is not None
        raise fault

    async def _look_for(self, number: int, discovery: Discovery) -> list[tuple[str, int]]:
        """Return where the device with this invite is, once it is found on the network."""
        deadline_s = self._clock.monotonic_s() + INVITER_LOOK_S
        while self._clock.monotonic_s() < deadline_s:
            found = [
                (address, one.port)
                for one in discovery.found
                if one.invite == number
                for address in one.addresses
            ]
            if found:
                return found[:DIAL_ADDRESSES]  # anybody can show a number
            await asyncio.sleep(_LOOK_AGAIN_S)
        report = discovery.report()
        hindered = () if report.works else report.lines
        raise NotFound(
            "inviter_not_found",
            f"No device on this network shows the invite {number}.",
            hint=" ".join(
                [
                    "Is the code still open there, and are both devices on one network? Otherwise "
                    "say where it is: --address HOST.",
                    *hindered,
                ]
            ),
        )


async def _next(channel: PairingChannel) -> bytes:
    message = await channel.receive()
    if message is None:
        raise refusal("pairing_failed")
    return message


def _typed_address(address: str) -> tuple[str, int]:
    """Return host and port of what a person wrote: HOST, HOST:PORT, [IPV6]:PORT."""
    text = address.strip()
    host, port = text, str(MESH_PORT)
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise BadInput(
            "address_invalid",
            f"“{address[:100]}” is no address.",
            hint="Write HOST or HOST:PORT, for example 192.168.1.20:7868.",
            field="address",
        )
    return host, int(port)
