"""Where the daemon listens and how to prove to it who calls.

Both are read anew for every connection: a daemon that was started again may have another port.
The owner's token goes only to the daemon of this home or to a loopback address, never to an
address on the network that a caller merely names.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from yarl import URL

from regend.config import is_loopback
from regend.errors import BadInput, NotAuthenticated, RegendError, not_running
from regend.home import Home, is_served


class RefusedConnection(Exception):
    """The daemon answered the opening of a WebSocket with an HTTP status.

    Args:
        status: the HTTP status.
        error: what it said.
        retry_after_s: when it may be tried again, if it said so.
    """

    def __init__(self, status: int, error: RegendError, retry_after_s: float | None) -> None:
        super().__init__(error.message)
        self.status = status
        self.error = error
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Address:
    """How to reach the daemon; what is None is found in the home."""

    url: str | None
    token: str | None
    home: Home

    def base(self) -> URL:
        """Return the daemon's address, without a path.

        Raises:
            BadInput: the given address is not http(s).
            Busy: no daemon of this home is running (`daemon_not_running`).
        """
        text = self._running_url() if self.url is None else self.url
        try:
            url = URL(text)
        except ValueError as error:
            raise _bad_address(text) from error
        if url.scheme not in ("http", "https") or not url.host:
            raise _bad_address(text)
        return url.origin()

    def bearer(self) -> str:
        """Return the token to send.

        Raises:
            NotAuthenticated: none was given and the home has none for this address.
        """
        if self.token is not None:
            return self.token
        if self.url is not None and not is_loopback(self.base().host or ""):
            raise NotAuthenticated(
                "token_missing",
                "The owner's token of this device is not sent to another machine.",
                hint="Create one for this use on that machine: regend tokens create.",
            )
        try:
            return self.home.token_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise NotAuthenticated(
                "token_missing",
                f"The token file {self.home.token_file} cannot be read.",
                hint="Start the daemon once (regend serve), or give a token.",
            ) from error

    def _running_url(self) -> str:
        try:
            value = json.loads(self.home.daemon_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise not_running() from error
        url = value.get("url") if isinstance(value, dict) else None
        if not isinstance(url, str) or not is_served(self.home):
            raise not_running()
        return url


def _bad_address(text: str) -> BadInput:
    return BadInput("bad_address", f"“{text}” is not an http address.", field="url")
