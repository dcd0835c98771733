"""Invites: which codes are open on this device, and how often each may still be tried.

They live in memory: a daemon that starts again has none, and an invite is quickly made. Pure: time
and randomness come in; time is monotonic, so that a clock that jumps opens no invite again.

Invariants
1. A try is used up as soon as the inviter answers, before it knows whether the code was right: a
   connection that breaks off teaches a stranger nothing for free.
2. An invite serves once. What it became is remembered, to tell people why it does not work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from regend.errors import BadInput, Conflict, NotFound, RateLimited, Refused, RegendError, Retryable
from regend.sync.epochs import Entropy
from regend.sync.words import CODE_BYTES, LARGEST_NUMBER, InviteCode, make

INVITE_S: Final = 600.0  # to walk to the other device and type
TRIES: Final = 3  # of 2^24 codes: one in 5.6 million
OPEN_INVITES: Final = 8
_REMEMBERED: Final = 64
_NEW_ONE: Final = "Get a new code on the device that invites: regend devices invite"


@dataclass(slots=True)
class Invite:
    """An open invite.

    Attributes:
        code: what people type.
        expires_s: monotonic time at which it ends.
        tries_left: how often it may still be answered.
        is_used: whether a device joined by it, or a person withdrew it.
    """

    code: InviteCode
    expires_s: float
    tries_left: int = TRIES
    is_used: bool = False

    def is_open(self, now_s: float) -> bool:
        """Tell whether somebody may still try it."""
        return not self.is_used and self.tries_left > 0 and now_s < self.expires_s

    def take_try(self, now_s: float) -> None:
        """Use up a try (invariant 1).

        Raises:
            RegendError: there is none left, or the invite is over.
        """
        self.check(now_s)
        if self.tries_left <= 0:
            raise refusal("invite_spent")
        self.tries_left -= 1

    def check(self, now_s: float) -> None:
        """Refuse an invite that is over, whoever began with it before.

        Raises:
            RegendError: it expired, or was used.
        """
        if self.is_used:
            raise refusal("invite_used")
        if now_s >= self.expires_s:
            raise refusal("invite_expired")


class Invites:
    """The invites of this device, by number."""

    def __init__(self) -> None:
        self._invites: dict[int, Invite] = {}

    def open(self, now_s: float, entropy: Entropy) -> Invite:
        """Return a fresh invite.

        Raises:
            RateLimited: many are open.
        """
        opened = [one for one in self._invites.values() if one.is_open(now_s)]
        if len(opened) >= OPEN_INVITES:
            raise RateLimited(
                "invites_open",
                f"{OPEN_INVITES} invites are open, which is the most.",
                hint="Use one of them, or wait until the first has expired.",
                retry_after_s=min(one.expires_s for one in opened) - now_s,
            )
        for number in list(self._invites)[: 1 - _REMEMBERED]:
            if not self._invites[number].is_open(now_s):
                del self._invites[number]
        number = int.from_bytes(entropy(2), "big") % LARGEST_NUMBER + 1
        while number in self._invites:  # what was told of an old one must not be told of this
            number = number % LARGEST_NUMBER + 1
        invite = Invite(make(number, entropy(CODE_BYTES)), now_s + INVITE_S)
        self._invites[number] = invite
        return invite

    def find(self, number: int) -> Invite:
        """Return the invite of this number, open or not.

        Raises:
            NotFound: there was none lately.
        """
        invite = self._invites.get(number)
        if invite is None:
            raise refusal("invite_unknown")
        return invite

    def withdraw(self, number: int) -> None:
        """End an invite, whoever is trying it.

        Raises:
            NotFound: there was none lately.
        """
        self.find(number).is_used = True

    def are_open(self, now_s: float) -> bool:
        """Tell whether any may still be tried."""
        return any(one.is_open(now_s) for one in self._invites.values())


# What an inviter may tell a stranger by its code alone, and what it means to the person who joins.
_REFUSALS: Final[dict[str, tuple[type[RegendError], str, str]]] = {
    "invite_unknown": (
        NotFound,
        "No invite of this number is open there.",
        "Check the number, or get a new code: regend devices invite",
    ),
    "invite_expired": (Refused, "The invite has expired; it holds ten minutes.", _NEW_ONE),
    "invite_used": (Conflict, "The invite was used or withdrawn; each serves once.", _NEW_ONE),
    "invite_spent": (Refused, f"The invite was tried {TRIES} times and is closed.", _NEW_ONE),
    "code_wrong": (
        Refused,
        "The words of the code are not the right ones.",
        f"Read them again on the device that invites; it takes {TRIES} tries.",
    ),
    "devices_full": (
        Conflict,
        "The mesh has no room for another device.",
        "Revoke one that is not used any more: regend devices revoke",
    ),
    "device_keys_differ": (
        Conflict,
        "The mesh knows this device by other keys.",
        "Revoke it on the device that invites, then pair again: regend devices revoke",
    ),
    "device_name": (
        BadInput,
        "The other device does not take the name of this one.",
        "Join with a simpler name.",
    ),
    "pairing_newer": (
        Refused,
        "The two devices speak different versions of pairing.",
        "Upgrade regend on both.",
    ),
    "pairing_malformed": (
        Refused,
        "What came from the other device cannot be understood.",
        "Try again; if it happens twice, upgrade regend on both devices.",
    ),
    "pairing_over": (
        Conflict,
        "This pairing is over, or its messages came in another order.",
        "Start again with the same code, or a new one.",
    ),
    "pairing_failed": (
        Retryable,
        "The other device could not finish the pairing.",
        "See there what is wrong, then start again with a new code.",
    ),
}


def refusal(code: str) -> RegendError:
    """Return the error of this code; an unknown one becomes `pairing_malformed`."""
    known = code if code in _REFUSALS else "pairing_malformed"
    kind, message, hint = _REFUSALS[known]
    return kind(known, message, hint=hint)


def is_refusal(code: str) -> bool:
    """Tell whether an error of this code may be told to a stranger."""
    return code in _REFUSALS
