"""What the protocol asks of the loop around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from regend.client.items import Item
from regend.errors import RegendError


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a connection; report `opened`, `refused` or `closed`."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send this text frame on the present connection."""

    text: str


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Drop the present connection, if any; nothing more of it is to be reported."""


@dataclass(frozen=True, slots=True)
class Deliver:
    """Hand these items to the reader, in this order."""

    items: list[Item]


@dataclass(frozen=True, slots=True)
class Settle:
    """The command has its answer: the fields of the reply, or the error."""

    command_id: str
    answer: dict[str, Any] | RegendError


@dataclass(frozen=True, slots=True)
class Fail:
    """The stream has ended with this error; the reader gets it after the items before it."""

    error: RegendError


Action = Connect | Send | Disconnect | Deliver | Settle | Fail
