"""What became of a job that several devices ran: its forks, and the steps that ran twice. Pure.

Facts first, then sentences for people: whoever reads the facts needs no words, and who reads the
words no ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, NamedTuple

from regend.jobs.terms import Term, belongs, branch

Kind = Literal["forced", "contested", "twice", "beside", "unfinished"]

_TIMES = {2: "twice", 3: "three times", 4: "four times"}


class Stray(NamedTuple):
    """What a branch says of a step, beside the history that is shown.

    Attributes:
        place: of the event.
        finished: whether it tells the step's end; else that a part of it was written.
    """

    branch: bytes
    place: int
    step: int
    finished: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """One fork, or steps that ran on several devices.

    Attributes:
        kind: `forced`: a device took the job over without the word of the one that ran it.
            `contested`: several took it over at once. `twice`: steps of the history also ran
            elsewhere. `beside`: steps that are not in the history at all. `unfinished`: steps of
            which a part was written beside it.
        steps: which; for `forced` the last that was finished before, 0 for none.
        devices: whose doing it was, the one that counts last; one is there twice where its home
            was copied or restored.
        counts: the device whose doing is part of the history; None where none is, or where that is
            not known here yet.
    """

    kind: Kind
    steps: tuple[int, ...]
    devices: tuple[bytes, ...]
    counts: bytes | None


def account(
    terms: Sequence[Term],
    chain: Sequence[Term],
    finished: Mapping[int, int],
    strays: Iterable[Stray],
    logs: Iterable[tuple[bytes, bytes]],
) -> list[Finding]:
    """Return what is to be told of a job, in the order of its terms, then of its steps.

    Args:
        terms: all that are known.
        chain: those that make the history that is shown.
        finished: the place of the event that tells each step's end in that history.
        strays: what is kept beside it.
        logs: device and incarnation of every log that is known.
    """
    known = {term.id: term for term in terms}
    # What follows on a term that has not come yet may still turn out to be the history itself.
    settled = [term for term in terms if _is_settled(term, known)]
    places = list(logs)
    doers = {
        branch(term.id, device, incarnation): device
        for term in settled
        for device, incarnation in places
    }
    beside = [
        one for one in strays if one.branch in doers and not belongs(chain, one.branch, one.place)
    ]
    return [*_of_terms(terms, chain, finished), *_of_steps(chain, finished, beside, doers)]


def _is_settled(term: Term, known: Mapping[bytes, Term]) -> bool:
    while term.previous:
        if term.previous not in known:
            return False
        term = known[term.previous]
    return True


def _of_terms(
    terms: Sequence[Term], chain: Sequence[Term], finished: Mapping[int, int]
) -> list[Finding]:
    shown, found = {term.id for term in chain}, list[Finding]()
    ranked = sorted(terms, key=lambda term: (term.number, term.id in shown, term.id))
    for _number, same in groupby(ranked, key=lambda term: term.number):
        rivals = list(same)
        last = rivals[-1] if rivals[-1].id in shown else None
        if len(rivals) > 1:
            devices = tuple(term.device for term in rivals)
            found.append(Finding("contested", (), devices, last.device if last else None))
        if last is not None and last.how == "forced":
            before = next(term for term in chain if term.id == last.previous)
            done = max((step for step, at in finished.items() if at <= last.base), default=0)
            devices = (before.device, last.device)
            found.append(Finding("forced", (done,), devices, last.device))
    return found


def _of_steps(
    chain: Sequence[Term],
    finished: Mapping[int, int],
    beside: Sequence[Stray],
    doers: Mapping[bytes, bytes],
) -> list[Finding]:
    """Return what is told of steps; neighbours of which the same is told are one."""
    ends = {(one.branch, one.step) for one in beside if one.finished}
    begun = {(one.branch, one.step) for one in beside} - ends
    told: list[tuple[int, Kind, tuple[bytes, ...], bytes | None]] = []
    for step in sorted({step for _, step in ends}):
        others = tuple(sorted(doers[by] for by, one in ends if one == step))
        if step in finished:
            device = _doer_at(chain, finished[step])
            told.append((step, "twice", (*others, device), device))
        else:
            told.append((step, "beside", others, None))
    told += [(step, "unfinished", (doers[by],), None) for by, step in sorted(begun, key=_step_of)]
    same: dict[tuple[Kind, tuple[bytes, ...], bytes | None], list[int]] = {}
    for step, *rest in told:
        same.setdefault(tuple(rest), []).append(step)  # type: ignore[arg-type]
    return [Finding(kind, tuple(steps), who, it) for (kind, who, it), steps in same.items()]


def _step_of(begun: tuple[bytes, int]) -> tuple[int, bytes]:
    return begun[1], begun[0]


def _doer_at(chain: Sequence[Term], place: int) -> bytes:
    return next(term.device for term in reversed(chain) if term.base < place)


def sentence(finding: Finding, holder: bytes, name: Callable[[bytes], str]) -> str:
    """Return a finding in plain words.

    Args:
        holder: the device that runs the job, or ran it last.
        name: returns what a device is called.
    """
    names = list(dict.fromkeys(name(device) for device in finding.devices))
    counts = None if finding.counts is None else name(finding.counts)
    steps = _numbered(finding.steps)
    match finding.kind:
        case "forced":
            when = f"after step {finding.steps[0]}" if finding.steps[0] else "before its first step"
            if len(names) == 1:
                return (
                    f"{names[0]}, whose home was copied or restored, took the job up again {when}."
                )
            return f"{names[1]} took the job over without a word from {names[0]}, {when}."
        case "contested":
            rule = "by a rule that comes out alike on every device"
            if len(names) == 1:
                way = "more than once from different states of it"
                return f"{names[0]} took the job over {way}; one of them counts, {rule}."
            which = "which one's work counts is not known here yet"
            if counts is not None:
                which = f"{_of(counts)} work counts, {rule}"
            return f"{_listed(names)} took the job over at the same time; {which}."
        case "twice":
            times = _TIMES.get(len(finding.devices), f"{len(finding.devices)} times")
            if len(names) == 1:
                return (
                    f"{steps} ran {times}, each time on {names[0]}, whose home was copied or "
                    "restored; one run counts."
                )
            one = "is the one that counts" if len(finding.steps) == 1 else "are the ones that count"
            return f"{steps} ran {times}, on {_listed(names)}; {_of(str(counts))} {one}."
        case "beside":
            does = "it does not count" if len(finding.steps) == 1 else "they do not count"
            return f"{steps} ran on {_listed(names)} after {name(holder)} had the job; {does}."
        case "unfinished":
            return (
                f"{names[0]} also wrote a part of {steps[0].lower()}{steps[1:]}, which does not "
                "count."
            )


def _of(name: str) -> str:
    return f"{name}'s"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _numbered(steps: Sequence[int]) -> str:
    """Return `Step 4`, `Steps 4–5`, `Steps 2, 4–5 and 7`; nothing for none."""
    if not steps:
        return ""
    runs: list[list[int]] = []
    for step in steps:
        if runs and step == runs[-1][-1] + 1:
            runs[-1].append(step)
        else:
            runs.append([step])
    parts = [str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs]
    return f"{'Step' if len(steps) == 1 else 'Steps'} {_listed(parts)}"
