"""Every error that a person or a client can meet, by whose fault it is.

One base class, `RegendError`. Each error has a stable `code` (clients branch on it), a message
for the person who reads it, a hint that says what to do next, and the HTTP status that fits.
Errors that cross a process border travel as the dict of `to_dict` and return by `from_dict`.
"""

from __future__ import annotations

from typing import Any


class RegendError(Exception):
    """An error with a stable code, a plain message and a remedy.

    Args:
        code: stable identifier in snake_case, for programs.
        message: one or two plain sentences for the person.
        hint: what to do about it; empty where the message already says so.
        field: the input field at fault, dotted (`input.question`), for bad input.
        retry_after_s: seconds after which the same call may succeed.
    """

    status = 500
    retryable = False

    def __init__(
        self,
        code: str,
        message: str,
        *,
        hint: str = "",
        field: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.field = field
        self.retry_after_s = retry_after_s

    def to_dict(self) -> dict[str, Any]:
        """Return the error as the JSON object that clients and frames carry."""
        body: dict[str, Any] = {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "retryable": self.retryable,
        }
        if self.field is not None:
            body["field"] = self.field
        if self.retry_after_s is not None:
            body["retry_after_s"] = self.retry_after_s
        return body

    @staticmethod
    def from_dict(body: dict[str, Any], status: int | None = None) -> RegendError:
        """Rebuild the error that `to_dict` described; the class follows the HTTP status."""
        kind = _BY_STATUS.get(status or 0, Retryable if body.get("retryable") else Failed)
        return kind(
            str(body.get("code", "internal")),
            str(body.get("message", "")),
            hint=str(body.get("hint", "")),
            field=body.get("field"),
            retry_after_s=body.get("retry_after_s"),
        )


class BadInput(RegendError):
    """What the caller sent cannot be understood or used; nothing was changed."""

    status = 400


class NotAuthenticated(RegendError):
    """The caller did not prove who they are."""

    status = 401


class NotAllowed(RegendError):
    """The caller is known and may not do this."""

    status = 403


class NotFound(RegendError):
    """What was asked for does not exist, or is another's."""

    status = 404


class Conflict(RegendError):
    """The request does not fit the present state, or an earlier request under the same key."""

    status = 409


class TooLarge(RegendError):
    """The input is over a stated bound."""

    status = 413


class WrongMediaType(RegendError):
    """The body is of a type that this call does not take."""

    status = 415


class Refused(RegendError):
    """Understood, and refused by a rule (a private address, a tampered file, an unfit model)."""

    status = 422


class RateLimited(RegendError):
    """Too many calls; `retry_after_s` says when to come back."""

    status = 429
    retryable = True


class Busy(RegendError):
    """The daemon cannot take this now (full queue, full disk, no worker); try again."""

    status = 503
    retryable = True


class Retryable(RegendError):
    """An attempt failed in a way that another attempt may not (a host died, a peer hung up)."""

    retryable = True


class Failed(RegendError):
    """The work itself failed and trying again would fail the same way."""


NOT_RUNNING_CODE = "daemon_not_running"


def not_running(message: str = "The regend daemon is not running.") -> Busy:
    """Return the error for a daemon that does not answer."""
    return Busy(NOT_RUNNING_CODE, message, hint="Start it: regend serve --background")


_BY_STATUS: dict[int, type[RegendError]] = {
    kind.status: kind
    for kind in (
        BadInput,
        NotAuthenticated,
        NotAllowed,
        NotFound,
        Conflict,
        TooLarge,
        WrongMediaType,
        Refused,
        RateLimited,
        Busy,
    )
}
