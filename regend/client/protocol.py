"""The client's side of the event stream, without sockets, clock or randomness.

It keeps the rules that the docstring of `regend.client` numbers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Final

from regend.client.actions import (
    Action,
    Connect,
    Deliver,
    Disconnect,
    Fail,
    Send,
    Settle,
)
from regend.client.backoff import Backoff, Patience
from regend.client.commands import CommandQueue, stream_closed
from regend.client.frames import (
    EventsFrame,
    HelloFrame,
    ReplyFrame,
    SnapshotFrame,
    number_in_reason,
    parse_frame,
)
from regend.client.position import Position
from regend.client.subscription import Subscription
from regend.errors import BadInput, Failed, NotAuthenticated, RegendError
from regend.limits import STREAM_CONNECT_TIMEOUT_S

SUBPROTOCOL: Final = "regend.v1"
COMMANDS: Final = frozenset({"start", "cancel", "pause", "resume", "subscribe", "unsubscribe"})

CLOSE_SLOW: Final = 4008
CLOSE_NOT_AUTHENTICATED: Final = 4401
CLOSE_FLOOD: Final = 4429
_CLOSE_VIOLATIONS: Final = frozenset({1002, 1003, 1007, 1008, 1009, 1010})


class State(Enum):
    """Where the stream stands: IDLE → CONNECTING → GREETING → LIVE, from these to WAITING and
    back to CONNECTING, from all to CLOSED."""

    IDLE = "idle"
    CONNECTING = "connecting"
    GREETING = "greeting"
    LIVE = "live"
    WAITING = "waiting"
    CLOSED = "closed"


_CONNECTED: Final = frozenset({State.CONNECTING, State.GREETING, State.LIVE})


class StreamProtocol:
    """One stream, from first connection to close (rules 1 to 11).

    Args:
        jobs: ids of the jobs to follow; None for all of the caller's.
        after_seq: position to go on from; 0 for all that is kept; None for from now on.
        epoch: the history that `after_seq` belongs to, where known.
        random: returns the next chance in [0, 1).
        new_key: returns a fresh idempotency key.
        backoff: waits between connections.

    Raises:
        BadInput: `after_seq` is not a position, or the jobs do not fit into one hello.
    """

    def __init__(
        self,
        *,
        jobs: Sequence[str] | None,
        after_seq: int | None,
        epoch: str | None,
        random: Callable[[], float],
        new_key: Callable[[], str],
        backoff: Backoff,
    ) -> None:
        self.state = State.IDLE
        self._position = Position(after_seq, epoch)
        self._subscription = Subscription(jobs)
        self._patience = Patience(backoff, random)
        self._new_key = new_key
        self._commands = CommandQueue()
        self._deadline_s: float | None = None
        self._live_since_s: float | None = None
        self._held = False
        self._deaf = False

    @property
    def epoch(self) -> str | None:
        """The history that `seq` belongs to; None before the first hello."""
        return self._position.epoch

    @property
    def seq(self) -> int | None:
        """The position; None before the first hello of a stream from now on."""
        return self._position.seq

    @property
    def deadline_s(self) -> float | None:
        """When to call `timer`, on the monotonic clock; None for never."""
        return self._commands.next_at_s() if self.state is State.LIVE else self._deadline_s

    @property
    def unanswered(self) -> int:
        """How many commands wait for their answer."""
        return len(self._commands)

    # What happened on the connection

    def start(self, now_s: float) -> list[Action]:
        """Begin: the first connection."""
        return self._connect(now_s) if self.state is State.IDLE else []

    def opened(self, now_s: float) -> list[Action]:
        """Take note that the connection is open; hello goes first (rule 2)."""
        if self.state is not State.CONNECTING:
            return []
        self.state = State.GREETING
        self._deadline_s = now_s + STREAM_CONNECT_TIMEOUT_S
        self._deaf = self._held
        after_seq = self._position.take_after_seq()
        jobs = [] if self._deaf else self._subscription.jobs
        hello = {"op": "hello", "epoch": self.epoch, "after_seq": after_seq, "jobs": jobs}
        return [Send(json.dumps(hello, separators=(",", ":")))]

    def received(self, text: str, now_s: float) -> list[Action]:
        """Take one text frame."""
        if self.state not in (State.GREETING, State.LIVE):
            return []
        try:
            frame = parse_frame(text)
        except ValueError as error:
            return self.violated(str(error), now_s)
        match frame:
            case HelloFrame():
                return self._greeted(frame, now_s)
            case ReplyFrame():
                return self._replied(frame, now_s)
            case EventsFrame() | SnapshotFrame():
                return self._take(frame, now_s)
            case None:
                return []

    def violated(self, what: str, now_s: float) -> list[Action]:
        """Cut a connection on which the daemon broke the contract (rule 9)."""
        if self.state not in _CONNECTED:
            return []
        if self._patience.is_exhausted_by_violation():
            return self._fail(
                Failed(
                    "protocol_violation",
                    f"The stream of the daemon cannot be understood: {what}.",
                    hint="Use a client and a daemon of the same version.",
                )
            )
        return [Disconnect(), *self._wait(now_s)]

    def closed(self, code: int, reason: str, now_s: float) -> list[Action]:
        """Take note that the connection ended (rule 7).

        Args:
            code: the close code; 1006 where it ended without one.
            reason: the close reason; may be empty.
            now_s: the time.
        """
        if self.state not in _CONNECTED:
            return []
        if code == CLOSE_NOT_AUTHENTICATED:
            return self._fail(
                NotAuthenticated(
                    "not_authenticated",
                    "The daemon no longer accepts this token.",
                    hint="Get a new one: regend tokens create.",
                )
            )
        if code == CLOSE_FLOOD:
            return self._wait(
                now_s, self._patience.flood_wait_s(number_in_reason(reason, "retry_after_s") or 0.0)
            )
        if code == CLOSE_SLOW:
            self._position.resume_after(number_in_reason(reason, "after_seq"))
            return self._wait(now_s)
        if code in _CLOSE_VIOLATIONS or code >= 4000:
            return self.violated(f"it closed with code {code} {reason}".rstrip(), now_s)
        return self._wait(now_s)

    def refused(
        self, status: int, error: RegendError, retry_after_s: float | None, now_s: float
    ) -> list[Action]:
        """Take note that the daemon refused the connection with an HTTP status.

        Refusals that time can cure are waited for; the others end the stream with `error`.
        """
        if self.state is not State.CONNECTING:
            return []
        if status == 429:
            return self._wait(now_s, self._patience.flood_wait_s(retry_after_s or 0.0))
        if status in (408, 425) or status >= 500:
            return self._wait(now_s, retry_after_s or 0.0)
        return self._fail(error)

    def timer(self, now_s: float) -> list[Action]:
        """Do what is due; calling too early does nothing."""
        deadline_s = self.deadline_s
        if deadline_s is None or now_s < deadline_s:
            return []
        match self.state:
            case State.LIVE:
                return self._flush(now_s)
            case State.WAITING if self._held and not self.unanswered:
                self._deadline_s = None
                return []
            case State.WAITING:
                return self._connect(now_s)
            case _:
                return [Disconnect(), *self._wait(now_s)]

    # What the program wants

    def submit(
        self, op: str, fields: Mapping[str, Any], now_s: float, key: str | None = None
    ) -> tuple[str, list[Action]]:
        """Give a command; its id comes back at once, its answer as a `Settle` (rule 5).

        Args:
            op: one of `COMMANDS`.
            fields: what the command says beside op, id and key.
            now_s: the time.
            key: idempotency key; None for a fresh one.

        Raises:
            BadInput: unknown op, bad field, or jobs that do not fit the stream (rule 6).
            Busy: too many are unanswered.
            TooLarge: it does not fit into a frame.
            Retryable: the stream is closed.
        """
        if op not in COMMANDS:
            raise BadInput("unknown_command", f"A stream has no command “{op}”.")
        if self.state is State.CLOSED:
            raise stream_closed()
        subscription = self._subscription.changed(op, fields.get("jobs"))
        command = self._commands.add(op, fields, key or self._new_key())
        command.added_jobs = subscription.beyond(self._subscription)
        self._subscription = subscription
        if op == "subscribe" and subscription.jobs is None:
            self._commands.answer(command.id)
            return command.id, [Settle(command.id, {})]
        if self._parked:
            return command.id, self._connect(now_s)
        return command.id, self._flush(now_s)

    def withdraw(self, command_id: str) -> None:
        """Forget a command that nobody waits for any more, unless it may be under way."""
        self._commands.withdraw(command_id)

    def hold(self) -> None:
        """Take no more items until `release`; answers still come (rule 11)."""
        self._held = True

    def release(self, now_s: float) -> list[Action]:
        """Take items again, from the position on."""
        missed, self._held = self._deaf, False
        if self._parked:
            return self._connect(now_s)
        if missed and self.state in _CONNECTED:
            return [Disconnect(), *self._connect(now_s)]
        return []

    def close(self) -> list[Action]:
        """End the stream; commands without an answer settle with an error that says so."""
        return self._end(stream_closed())

    # Frames

    def _greeted(self, hello: HelloFrame, now_s: float) -> list[Action]:
        if self.state is State.LIVE and (self._deaf or hello.epoch == self.epoch):
            return []
        if not self._held and self._position.is_of_another_history(hello):
            restarted = self._position.restart(hello)
            return [Deliver([restarted]), Disconnect(), *self._wait(now_s)]
        self.state = State.LIVE
        self._live_since_s = now_s
        if self._held:
            self._deaf = True
        else:
            self._position.greet(hello)
        return self._flush(now_s) + self._rest()

    def _take(self, frame: EventsFrame | SnapshotFrame, now_s: float) -> list[Action]:
        if self.state is State.GREETING:
            return self.violated("items came before hello", now_s)
        if self._held:
            self._deaf = True
            return self._rest()
        if isinstance(frame, SnapshotFrame):
            snapshot = self._position.snapshot(frame)
            if snapshot.gap is not None:
                self._patience.renew()
            return [Deliver([snapshot])]
        if self._position.owes_snapshot:
            return self.violated("events came before the snapshot of a gap", now_s)
        items = self._position.fresh(frame)
        if not items:
            return []
        self._patience.renew()
        return [Deliver(items)]

    def _replied(self, reply: ReplyFrame, now_s: float) -> list[Action]:
        command = self._commands.answer(reply.id)
        if command is None:
            return []
        self._patience.renew()
        answer: dict[str, Any] | RegendError = reply.body
        if reply.error is not None:
            self._subscription = self._subscription.without(command.added_jobs)
            answer = RegendError.from_dict(reply.error, reply.status)
        return [Settle(command.id, answer), *self._flush(now_s), *self._rest()]

    # Connections

    @property
    def _parked(self) -> bool:
        """Whether we stay away until there is room for items or a command to send."""
        return self.state is State.WAITING and self._deadline_s is None

    def _connect(self, now_s: float) -> list[Action]:
        self.state = State.CONNECTING
        self._deadline_s = now_s + STREAM_CONNECT_TIMEOUT_S
        self._forget_connection()
        return [Connect()]

    def _wait(self, now_s: float, least_s: float = 0.0) -> list[Action]:
        lived_s = 0.0 if self._live_since_s is None else now_s - self._live_since_s
        delay_s = self._patience.next_wait_s(lived_s, least_s)
        self.state = State.WAITING
        self._deadline_s = now_s + delay_s
        self._forget_connection()
        return []

    def _rest(self) -> list[Action]:
        """Leave a connection whose events are not wanted once its commands are answered."""
        if not self._deaf or self.unanswered or self.state is not State.LIVE:
            return []
        self.state = State.WAITING
        self._deadline_s = None
        self._forget_connection()
        return [Disconnect()]

    def _forget_connection(self) -> None:
        self._live_since_s = None
        self._deaf = False
        self._position.disconnect()
        self._commands.disconnect()

    def _flush(self, now_s: float) -> list[Action]:
        if self.state is not State.LIVE:
            return []
        return [Send(frame) for frame in self._commands.take_sendable(now_s)]

    def _fail(self, error: RegendError) -> list[Action]:
        return [*self._end(error), Fail(error)]

    def _end(self, error: RegendError) -> list[Action]:
        if self.state is State.CLOSED:
            return []
        self.state = State.CLOSED
        self._deadline_s = None
        settled = [Settle(command.id, error) for command in self._commands.take_all()]
        return [Disconnect(), *settled]
