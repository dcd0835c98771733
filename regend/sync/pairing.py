"""Pairing: a short code that two people or one person carries across makes two devices trust.

    joiner → inviter   [version, number, PAKE]
    inviter → joiner   [PAKE, sealed {device, name, mesh}, confirmation]
    joiner → inviter   [sealed {device, name}, confirmation]
    inviter → joiner   [sealed entries of the roster, the joiner's own among them]

Instead of its next message the inviter may send `["refused", code]`. Pure: bytes in, bytes out;
keys, time and randomness come in.

Invariants
1. Who does not know the code learns from a whole run only that it does not, and has used up a try.
2. A confirmation is checked before what it covers is opened (`pairingparts` says why).
3. The joiner is bound to the connection: what its TLS saw is the certificate that the inviter, who
   knows the code, has sent.
4. Nothing is half done. The inviter adds the device after the third message, durably before the
   fourth; the joiner keeps something only after the fourth. One that was added and did not hear so
   pairs again.
5. After a fault, and after its end, a pairing takes nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from regend.errors import Conflict, Refused
from regend.sync.device import Device, Identity
from regend.sync.entries import Entry, verify
from regend.sync.epochs import Entropy
from regend.sync.frame import MESH_BYTES
from regend.sync.invites import Invite, Invites, refusal
from regend.sync.names import clean
from regend.sync.pairingparts import (
    PAIRING_BYTES,
    UNREADABLE,
    VERSION,
    WELCOME_BYTES,
    Keys,
    check,
    confirmation,
    derive,
    exchange_of_inviter,
    exchange_of_joiner,
    pack,
    read,
    read_hello,
    seal,
    unseal,
)
from regend.sync.payloads import as_bytes, device_of, listed, packed_device
from regend.sync.roster import Roster
from regend.sync.words import InviteCode

State = Literal["new", "waiting", "proved", "over"]


class Newcomer(NamedTuple):
    """Who knew the code."""

    device: Device
    name: str


class Welcome(NamedTuple):
    """What the joiner is to keep, all of it or nothing.

    Attributes:
        inviter: name of the device that let it in.
        roster: with this device as a member.
        entries: of the roster.
        device: id of the device that let it in.
    """

    inviter: str
    roster: Roster
    entries: list[Entry]
    device: bytes


class Inviter:
    """The side that shows a code; each pairing has its own.

    Args:
        invites: the open ones of this device.
        name: of this device in the mesh.
        mesh: id of the mesh.
        entropy: returns random bytes.
    """

    def __init__(
        self, invites: Invites, identity: Identity, name: str, mesh: bytes, entropy: Entropy
    ) -> None:
        self._invites = invites
        self._own = (packed_device(identity.device, name), mesh)
        self._entropy = entropy
        self._state: State = "new"
        self._invite: Invite | None = None
        self._keys: Keys | None = None
        self._transcript: list[bytes] = []

    def answer(self, hello: bytes, now_s: float) -> bytes:
        """Take the first message and return the second; that uses up a try.

        Args:
            now_s: monotonic time.

        Raises:
            RegendError: there is no such invite, or it is over (see `invites`); send `told` of it.
        """
        self._enter("new")
        number, pake = read_hello(hello)
        invite = self._invites.find(number)
        invite.take_try(now_s)
        exchange = exchange_of_inviter(invite.code, self._entropy)
        own_pake: bytes = exchange.start()
        self._transcript = [hello, own_pake]
        self._keys = keys = derive(exchange, pake, self._transcript)
        self._invite = invite
        sealed = seal(keys.inviter, self._own, self._entropy)
        self._transcript.append(sealed)
        self._state = "waiting"
        return pack(own_pake, sealed, confirmation(keys.inviter_confirms, self._transcript))

    def verify(self, proof: bytes, now_s: float) -> Newcomer:
        """Take the third message and return who knew the code; the invite is used then.

        The caller adds it to the roster, durably, and then sends `welcome`.

        Raises:
            RegendError: the code was wrong, or the invite ended meanwhile; send `told` of it.
        """
        self._enter("waiting")
        assert self._invite is not None and self._keys is not None
        sealed, confirmed = read(proof, 2, PAIRING_BYTES)
        self._transcript.append(sealed)
        check(self._keys.joiner_confirms, self._transcript, confirmed)
        self._invite.check(now_s)
        value = unseal(self._keys.joiner, sealed)
        try:
            newcomer = Newcomer(*device_of(value))
        except (*UNREADABLE, Refused) as error:
            raise refusal("pairing_malformed") from error
        self._invite.is_used = True
        self._state = "proved"
        return newcomer

    def welcome(self, entries: Iterable[bytes]) -> bytes:
        """Return the fourth message.

        Args:
            entries: the whole roster as `Roster.blobs` returns it, the newcomer's with it.
        """
        self._enter("proved")
        assert self._keys is not None
        return pack(seal(self._keys.welcome, list(entries), self._entropy))

    def _enter(self, state: State) -> None:
        if self._state != state:
            raise refusal("pairing_over")
        self._state = "over"  # invariant 5


class Joiner:
    """The side that is told a code.

    Args:
        name: what this device calls itself.
        roster: that it has, None where it has none.
        certificate: what the connection showed (DER); None where there is no TLS to the inviter.
        entropy: returns random bytes.

    Raises:
        Conflict: this device is in a mesh with others.
        BadInput: the name is none.
    """

    def __init__(
        self,
        code: InviteCode,
        identity: Identity,
        name: str,
        roster: Roster | None,
        certificate: bytes | None,
        entropy: Entropy,
    ) -> None:
        refuse_second_mesh(identity, roster)
        self._identity = identity
        self._own = packed_device(identity.device, clean(name))
        self._number = code.number
        self._certificate = certificate
        self._entropy = entropy
        self._exchange = exchange_of_joiner(code, entropy)
        self._state: State = "new"
        self._keys: Keys | None = None
        self._transcript: list[bytes] = []
        self._inviter: Newcomer | None = None
        self._mesh = b""

    def hello(self) -> bytes:
        """Return the first message."""
        self._enter("new")
        message = pack(VERSION, self._number, self._exchange.start())
        self._transcript = [message]
        self._state = "waiting"
        return message

    def prove(self, answer: bytes) -> bytes:
        """Take the second message and return the third.

        Raises:
            RegendError: the code is wrong, the invite is over, or the connection goes elsewhere.
        """
        self._enter("waiting")
        pake, sealed, confirmed = read(answer, 3, PAIRING_BYTES)
        self._transcript.append(pake)
        self._keys = keys = derive(self._exchange, pake, self._transcript)
        self._transcript.append(sealed)
        check(keys.inviter_confirms, self._transcript, confirmed)
        value = unseal(keys.inviter, sealed)
        try:
            told, mesh = listed(value, 2)
            self._inviter, self._mesh = Newcomer(*device_of(told)), as_bytes(mesh, MESH_BYTES)
        except (*UNREADABLE, Refused) as error:
            raise refusal("pairing_malformed") from error
        self._check_inviter(self._inviter.device)
        own = seal(keys.joiner, self._own, self._entropy)
        self._transcript.append(own)
        self._state = "proved"
        return pack(own, confirmation(keys.joiner_confirms, self._transcript))

    def finish(self, welcome: bytes) -> Welcome:
        """Take the fourth message and return what to keep.

        Raises:
            RegendError: it is refused, or not what makes this device a member.
        """
        self._enter("proved")
        assert self._keys is not None and self._inviter is not None
        (sealed,) = read(welcome, 1, WELCOME_BYTES)
        value = unseal(self._keys.welcome, sealed)
        try:
            entries = [verify(as_bytes(one), self._mesh) for one in listed(value)]
        except UNREADABLE as error:
            raise refusal("pairing_malformed") from error
        roster = Roster.of(entries, self._mesh)
        for device in (self._inviter.device, self._identity.device):
            member = roster.living.get(device.id)
            if member is None or member.device != device:
                raise _unfit()
        if not roster.epoch_keys(self._identity.sealing_key):
            raise _unfit()
        inviter = self._inviter.device.id
        return Welcome(roster.living[inviter].name, roster, entries, inviter)

    def _check_inviter(self, device: Device) -> None:
        if device.id == self._identity.id:
            raise Conflict(
                "device_is_this",
                "The other device has the keys of this one: one home is a copy of the other.",
                hint="Give one of them a home of its own, with keys of its own.",
            )
        if self._certificate not in (None, device.certificate):
            raise Refused(
                "pairing_intercepted",
                "The connection does not end at the device that shows the code.",
                hint="Somebody may stand in between. Try in another network, with a new code.",
            )

    def _enter(self, state: State) -> None:
        if self._state != state:
            raise refusal("pairing_over")
        self._state = "over"  # invariant 5


def refuse_second_mesh(identity: Identity, roster: Roster | None) -> None:
    """Refuse to join where this device is in a mesh with others; alone in one it may.

    Raises:
        Conflict: it is.
    """
    if roster is None or not roster.is_living(identity.id) or len(roster.living) == 1:
        return
    others = ", ".join(f"“{one.name}”" for key, one in roster.living.items() if key != identity.id)
    raise Conflict(
        "mesh_joined",
        f"This device is already in a mesh with {others}.",
        hint="If one of these shows the code, nothing is left to do. To leave it for another mesh: "
        "add --leave",
    )


def _unfit() -> Refused:
    return Refused(
        "pairing_unfit",
        "The other device sent a list of devices on which this one is not.",
        hint="Try again with a new code; if it happens twice, upgrade regend on both devices.",
    )
