"""What is known about the ways by which other devices are looked for, for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from regend.limits import INTERFACES_TRY_S
from regend.sync.interfaces import Interface, fault_of, interfaces


@dataclass(frozen=True, slots=True)
class Reach:
    """Whether a query could leave by an interface.

    Attributes:
        fault: the system's words for why not; None where it could.
    """

    interface: Interface
    fault: str | None


class Reaches:
    """The interfaces as they were tried last.

    Args:
        loopback: whether to try the loopback interface instead of all others.

    Attributes:
        tried: one to each interface and family.
    """

    def __init__(self, *, loopback: bool) -> None:
        self._loopback = loopback
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.tried: tuple[Reach, ...] = ()
        self._tried_s = 0.0

    def look(self, now_s: float) -> tuple[Interface, ...]:
        """Try what is new, what failed, and from time to time everything; return what works."""
        found = interfaces(loopback=self._loopback)
        known = {one.interface: one for one in self.tried}
        same = set(found) == set(known)
        if not same or not known or now_s - self._tried_s >= INTERFACES_TRY_S:
            self._tried_s = now_s
            known = {}
        works = {one for one, reach in known.items() if reach.fault is None}
        self.tried = tuple(
            known[one] if one in works else Reach(one, fault_of(one)) for one in found
        )
        return tuple(one.interface for one in self.tried if one.fault is None)


@dataclass(frozen=True, slots=True)
class ReachReport:
    """Where queries could leave, and why not elsewhere.

    Attributes:
        reaches: one to each interface and family.
        fault: why nothing is heard at all, in the system's words; None where it is.
        looking: whether devices are looked for at present.
    """

    reaches: tuple[Reach, ...]
    fault: str | None
    looking: bool

    @property
    def works(self) -> bool:
        """Whether devices of at least one network can be found."""
        return self.looking and self.fault is None and any(not one.fault for one in self.reaches)

    @property
    def lines(self) -> tuple[str, ...]:
        """The report in sentences."""
        if not self.looking:
            return ("Devices on the network are not looked for.",)
        if not self.reaches:
            return ("No network interface has a local address: nobody could be asked.",)
        lines = [self._line(one) for one in self.reaches]
        if not self.works:
            lines.append(
                "Devices can be called by their address all the same: "
                "regend devices join --address ADDRESS"
            )
        return tuple(lines)

    def _line(self, reach: Reach) -> str:
        by, fault = reach.interface, reach.fault or self.fault
        if fault is None:
            return f"Devices are looked for on {by.name} over {by.family}, from {by.address}."
        return f"No query could leave interface {by.name} over {by.family}: {fault}."

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values for JSON."""
        return {
            "works": self.works,
            "looking": self.looking,
            "interfaces": [
                {
                    "interface": one.interface.name,
                    "family": one.interface.family,
                    "address": one.interface.address,
                    "fault": one.fault or self.fault,
                }
                for one in self.reaches
            ],
            "lines": list(self.lines),
        }
