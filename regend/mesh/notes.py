"""What is wrong between this device and the others, in sentences, with what to do about it.

All of it is gone once it is mended; nothing of it keeps devices apart that can talk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from regend.clock import rfc3339
from regend.limits import CLOCKS_DIFFER_S
from regend.mesh.network import Network
from regend.mesh.peers import Peer
from regend.mesh.unfit import Unfit
from regend.sync.discovery import Discovery

_DAY_S: Final = 24 * 3600
_TITLE_CHARACTERS: Final = 60


def notes(
    network: Network,
    discovery: Discovery,
    known: Mapping[bytes, Peer],
    unfit: Sequence[Unfit],
    stranded: Mapping[bytes, Sequence[str]],
) -> list[dict[str, Any]]:
    """Return what is to be told, gravest first: code, the device that it is about, text and hint.

    Args:
        known: what is remembered of the other devices.
        unfit: documents of theirs that cannot be imported here.
        stranded: unfinished jobs of devices that were put out, by device.
    """
    return [
        *_of_membership(network),
        *_of_states(network, known),
        *_of_disk(network),
        *_of_jobs(network, stranded),
        *_of_documents(network, unfit),
        *_of_reach(network, discovery),
        *_of_versions(network),
        *_of_keys(network),
        *_of_clocks(network, discovery),
    ]


def _note(code: str, device: bytes | None, text: str, hint: str) -> dict[str, Any]:
    return {"code": code, "device": device.hex() if device else None, "text": text, "hint": hint}


def _of_membership(network: Network) -> list[dict[str, Any]]:
    """Tell that this device was put out, where it has heard of it."""
    own = network.house.identity.id
    if network.house.roster.is_living(own):
        return []
    text = (
        "This device was put out of the mesh: what the others do does not reach it any more, and "
        "what it does does not reach them."
    )
    hint = "To have it in again: regend devices invite on one of them, and join here."
    return [_note("device_revoked", own, text, hint)]


def _of_states(network: Network, known: Mapping[bytes, Peer]) -> list[dict[str, Any]]:
    """Tell of devices that make something else of the same changes, which must never be."""
    hint = (
        "Nothing is lost: both keep all changes. Upgrade both to the same version. If it stays, "
        "keep both as they are, and report it with what this writes on each: regend diagnostics"
    )
    found = []
    for device, peer in known.items():
        if peer.differs_since is not None and network.house.roster.is_living(device):
            text = (
                f"By the same changes, “{network.name_of(device)}” has other jobs or documents "
                f"than this device, since {rfc3339(peer.differs_since)}."
            )
            found.append(_note("state_differs", device, text, hint))
    return found


def _of_disk(network: Network) -> list[dict[str, Any]]:
    """Tell that this device can store no more of what the others send."""
    refusals = [one.hindered.refusal for one in network.links.exchanges]
    refusal = next(filter(None, refusals), None)
    hint = f"Free some space where {network.fetcher.folder} lies; it goes on by itself then."
    if refusal is not None:
        what = "is full" if refusal.code == "disk_full" else f"is failing: {refusal.message}"
        text = f"The disk of this device {what}. What the other devices did waits to be stored."
        return [_note(refusal.code, None, text, hint)]
    if network.fetcher.has_no_room():
        text = (
            "The disk of this device is nearly full. Jobs are still told of, but documents and "
            "other large parts that the other devices send wait."
        )
        return [_note("disk_nearly_full", None, text, hint)]
    return []


def _of_jobs(network: Network, stranded: Mapping[bytes, Sequence[str]]) -> list[dict[str, Any]]:
    """Tell of jobs that wait for a device which does not come any more."""
    found = []
    for device, jobs in stranded.items():
        several = len(jobs) > 1
        which, were = (f"{len(jobs)} jobs", "were") if several else ("a job", "was")
        text = f"“{network.name_of(device)}” was put out while {which} of it {were} not finished."
        hint = f"To let it go on here: regend jobs takeover {jobs[0]} --force"
        if several:
            hint = (
                "To let one go on here: regend jobs takeover ID --force. Which they are: "
                "regend jobs list --state pending"
            )
        found.append(_note("jobs_stranded", device, text, hint))
    return found


def _of_documents(network: Network, unfit: Sequence[Unfit]) -> list[dict[str, Any]]:
    """Tell of documents that are on another device and are not found here."""
    if not unfit:
        return []
    first, more = unfit[0], len(unfit) - 1
    others = "" if not more else f" and {more} more" if more > 1 else " and another"
    name = network.name_of(first.device) or "another device"
    text = (
        f"“{first.title[:_TITLE_CHARACTERS]}”{others}, which “{name}” has in its library, cannot "
        f"be taken into this one: {first.reason}."
    )
    hint = (
        "It stays there. Add the document here from its file (regend library add), or upgrade "
        "regend on this device: another version tries again."
    )
    return [_note("document_unfit", first.device, text, hint)]


def _of_reach(network: Network, discovery: Discovery) -> list[dict[str, Any]]:
    """Tell why nobody can call this device, and why it finds nobody on the network."""
    found = []
    if (fault := network.fault) is not None:
        text = f"Other devices cannot call this one: {fault.message}"
        hint = fault.hint or "Set another `port` under [mesh], and start the daemon anew."
        found.append(_note(fault.code, None, text, hint))
    report = discovery.report()
    if report.looking and not report.works and len(network.house.roster.living) > 1:
        text = " ".join(one for one in report.lines if one.startswith("No "))
        hint = (
            "Devices that were reached before are called where they were then; another is joined "
            "by its address: regend devices join CODE --address ADDRESS"
        )
        found.append(_note("nobody_found", None, text, hint))
    return found


def _of_versions(network: Network) -> list[dict[str, Any]]:
    found = []
    for exchange in network.links.exchanges:
        if exchange.hindered.is_newer:
            text = (
                f"“{network.name_of(exchange.device)}” has a newer regend: some of what it says "
                "cannot be read here and is left out. Nothing is lost there."
            )
            hint = "Upgrade regend on this device; what was left out comes then."
            found.append(_note("device_newer", exchange.device, text, hint))
    for device, refusal in network.links.refusals.items():
        if refusal.code == "protocol_unknown" and network.links.to(device) is None:
            name = network.name_of(device)
            text = f"“{name}” and this device have versions of regend that do not fit together."
            found.append(_note(refusal.code, device, text, refusal.hint or ""))
    return found


def _of_keys(network: Network) -> list[dict[str, Any]]:
    """Tell of what came and cannot be opened yet."""
    found = []
    for exchange in network.links.exchanges:
        name = network.name_of(exchange.device)
        for key_id in {one.key_id for one in exchange.wants.locked.values()}:
            holders = [f"“{one.name}”" for one in network.house.roster.holders(key_id)]
            text = (
                f"Some of what “{name}” sends is sealed with a key that this device was not given "
                "yet, and waits there. Nothing is lost."
            )
            hint = f"It comes once this device is in one network with {' or '.join(holders)}."
            found.append(_note("key_missing", exchange.device, text, hint if holders else ""))
    return found


def _of_clocks(network: Network, discovery: Discovery) -> list[dict[str, Any]]:
    """Tell of clocks that differ, by what a linked device says, or by the day of a tag."""
    ahead_s: dict[bytes, float] = {
        one.device: one.days_ahead * _DAY_S
        for one in discovery.found
        if one.device and one.days_ahead
    }
    linked = {
        one.device: one.hindered.clock_ahead_ms / 1000
        for one in network.links.exchanges
        if one.met.is_set()
    }
    ahead_s |= linked
    return [
        _note("clock_differs", device, _clock_text(network, device, by_s), _clock_hint(by_s))
        for device, by_s in ahead_s.items()
        if abs(by_s) >= CLOCKS_DIFFER_S
    ]


def _clock_hint(by_s: float) -> str:
    hint = "Set the clock of the one that is wrong (on Linux: timedatectl set-ntp true)."
    if abs(by_s) < _DAY_S:
        return hint
    return (
        f"{hint} Until then, if the two do not find each other: "
        "regend devices join CODE --address ADDRESS"
    )


def _clock_text(network: Network, device: bytes, by_s: float) -> str:
    which = "ahead of" if by_s > 0 else "behind"
    return f"The clock of “{network.name_of(device)}” is {_span(abs(by_s))} {which} this one's."


def _span(seconds: float) -> str:
    units: Mapping[str, int] = {"day": _DAY_S, "hour": 3600, "minute": 60}
    for name, size_s in units.items():
        number = round(seconds / size_s)
        if number >= 2 or name == "minute":
            break
    return f"{number} {name}{'' if number == 1 else 's'}"
