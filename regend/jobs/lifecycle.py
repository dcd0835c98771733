"""What a job may become: states and transitions as data, and the one function that decides.

A job's `state` is what is; its `desired` is what the person wants (run, pause, cancel). They are
stored apart, so that a wish survives whatever the worker does meanwhile.

Invariants
1. Every change of state is a row of `TRANSITIONS`.
2. `cancelled` is reached from `running` only after the worker's death is confirmed.
3. A wish to cancel wins over every outcome that arrives after it was stored.
4. A finished job goes on only by a person's word (`retry`), and a cancelled one never.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

State = Literal["created", "running", "waiting", "paused", "completed", "failed", "cancelled"]
Desired = Literal["run", "pause", "cancel"]

STATES: Final[tuple[State, ...]] = (
    "created",
    "running",
    "waiting",
    "paused",
    "completed",
    "failed",
    "cancelled",
)

TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    "created": frozenset({"running", "paused", "cancelled"}),
    "running": frozenset({"created", "waiting", "paused", "completed", "failed", "cancelled"}),
    "waiting": frozenset({"created", "paused", "cancelled"}),
    "paused": frozenset({"created", "cancelled"}),
    "completed": frozenset(),
    "failed": frozenset({"created"}),
    "cancelled": frozenset(),
}

TERMINAL: Final[frozenset[State]] = frozenset({"completed", "failed", "cancelled"})
PENDING: Final[tuple[State, ...]] = ("created", "running", "waiting", "paused")

# From which states a person may ask for what.
COMMANDS: Final[dict[str, frozenset[State]]] = {
    "cancel": frozenset(PENDING),
    "pause": frozenset({"created", "running", "waiting"}),
    "resume": frozenset({"paused", "waiting"}),
    "retry": frozenset({"failed"}),
}


def is_terminal(state: State) -> bool:
    """Tell whether a job in this state goes on by itself no more."""
    return state in TERMINAL


def valid_next_states(state: State) -> frozenset[State]:
    """Return the states that may follow this one."""
    return TRANSITIONS[state]


def is_valid_transition(before: State, after: State) -> bool:
    """Tell whether a job may go from `before` to `after`."""
    return after in TRANSITIONS[before]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended, as its supervisor saw it.

    Attributes:
        kind: `completed` (with `result`), `failed` (the program raised `error`), `died` (the
            worker was lost, `error` says how), `parked` (it waits, `waiting` says for what),
            `released` (it stopped at a checkpoint because it was asked to), `orphaned` (the
            daemon stopped under it).
        result: JSON text, for `completed`.
        lacks: digest of a payload that the attempt could not begin without, for `released`: the job
            waits until another device has sent it. `error` says so.
    """

    kind: Literal["completed", "failed", "died", "parked", "released", "orphaned"]
    result: str | None = None
    error: dict[str, Any] | None = None
    waiting: dict[str, Any] | None = None
    lacks: str | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """What a job has been through.

    Attributes:
        failures: attempts that raised a retryable error.
        deaths: attempts whose worker was lost.
        max_attempts: failures after which the job fails.
        max_deaths: deaths after which the job is held to be what kills its workers.
    """

    failures: int
    deaths: int
    max_attempts: int
    max_deaths: int


@dataclass(frozen=True, slots=True)
class Settlement:
    """What becomes of a job after an attempt.

    Attributes:
        state: the next state.
        failures: the new count.
        deaths: the new count.
        error: for `failed`, and for `created` after a failure: why.
        waiting: for `waiting`.
        backoff: whether the next attempt waits (its length: `retry.delay_s`).
    """

    state: State
    failures: int
    deaths: int
    error: dict[str, Any] | None = None
    waiting: dict[str, Any] | None = None
    backoff: bool = False


def settle(desired: Desired, outcome: Outcome, counts: Counts) -> Settlement:
    """Decide what becomes of a running job whose attempt ended. Pure; invariants 2 to 4."""
    failures, deaths = counts.failures, counts.deaths
    if desired == "cancel":
        return Settlement("cancelled", failures, deaths)
    match outcome.kind:
        case "completed":
            return Settlement("completed", failures, deaths)
        case "parked" if desired == "pause":
            # It asks its question again when it goes on; a paused job must not go on by an answer.
            return Settlement("paused", failures, deaths)
        case "parked":
            return Settlement("waiting", failures, deaths, waiting=outcome.waiting)
        case "failed":
            return _after_failure(desired, outcome, counts)
        case "died":
            deaths += 1
            if deaths >= counts.max_deaths:
                return Settlement("failed", failures, deaths, error=_poisoned(outcome, deaths))
            # One death may be chance (a kill, a full memory): the job goes on at once.
            again = deaths > 1
            return Settlement(_next(desired), failures, deaths, error=outcome.error, backoff=again)
        case "released" | "orphaned":
            return Settlement(_next(desired), failures, deaths, error=outcome.error)


def _after_failure(desired: Desired, outcome: Outcome, counts: Counts) -> Settlement:
    error = outcome.error or {}
    failures = counts.failures + 1
    if not error.get("retryable") or failures >= counts.max_attempts:
        return Settlement("failed", failures, counts.deaths, error=error)
    return Settlement(_next(desired), failures, counts.deaths, error=error, backoff=True)


def _next(desired: Desired) -> State:
    return "paused" if desired == "pause" else "created"


def _poisoned(outcome: Outcome, deaths: int) -> dict[str, Any]:
    cause = (outcome.error or {}).get("message", "The worker died.")
    return {
        "code": "worker_killed",
        "message": f"The job lost its worker {deaths} times; the last time: {cause}",
        "hint": "Its finished steps are kept. When the cause is gone: regend jobs retry ID.",
        "retryable": False,
    }
