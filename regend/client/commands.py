"""Commands on their way: kept from the moment they are given until the daemon has answered.

Invariants:
1. A command leaves the queue only when it is answered, withdrawn before it was ever sent, or
   when the stream ends. So a lost connection loses none.
2. Every sending of a command is the same text, with the same id and the same idempotency key.
   So the daemon can tell a repetition, and none is carried out twice.
3. They are sent in the order in which they were given, `STREAM_COMMANDS_IN_FLIGHT` at a time and
   no faster than the daemon allows; at most `STREAM_COMMANDS` are kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from regend.errors import BadInput, Busy, Retryable, TooLarge
from regend.limits import (
    CLIENT_FRAME_BYTES,
    STREAM_COMMANDS,
    STREAM_COMMANDS_BURST,
    STREAM_COMMANDS_IN_FLIGHT,
    STREAM_COMMANDS_PER_S,
)

# One sending, less the rounding of the floating-point refill: else a timer could fire for nothing.
_ONE = 1 - 1e-6


@dataclass(slots=True)
class Command:
    """One command: its frame, and whether it went out on this connection or on any.

    Attributes:
        added_jobs: for `subscribe`, the jobs to take back if the daemon refuses it.
    """

    id: str
    frame: str
    sent: bool = False
    ever_sent: bool = False
    added_jobs: list[str] = field(default_factory=list)


class CommandQueue:
    """The unanswered commands of one stream (invariants 1 to 3)."""

    def __init__(self) -> None:
        self._commands: dict[str, Command] = {}
        self._given = 0
        self._allowance = STREAM_COMMANDS_BURST
        self._counted_at_s: float | None = None

    def __len__(self) -> int:
        return len(self._commands)

    def add(self, op: str, fields: Mapping[str, Any], idempotency_key: str) -> Command:
        """Keep a new command and return it.

        Raises:
            BadInput: a field cannot be written as JSON.
            Busy: `STREAM_COMMANDS` are waiting already.
            TooLarge: its frame is over what the daemon takes.
        """
        if len(self._commands) >= STREAM_COMMANDS:
            raise Busy(
                "too_many_commands",
                f"{STREAM_COMMANDS} commands wait for the daemon already.",
                hint="Wait until some of them are answered.",
            )
        command_id = f"c{self._given + 1}"
        content = {"op": op, "id": command_id, "idempotency_key": idempotency_key, **fields}
        try:
            frame = json.dumps(content, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise BadInput(
                "command_not_json", f"The command cannot be written as JSON: {error}."
            ) from error
        if len(frame) > CLIENT_FRAME_BYTES:
            raise TooLarge(
                "command_too_large",
                f"The command is {len(frame)} bytes; a stream carries {CLIENT_FRAME_BYTES}.",
                hint="Send it by POST /api/v1/jobs instead.",
            )
        self._given += 1
        command = Command(command_id, frame)
        self._commands[command_id] = command
        return command

    def take_sendable(self, now_s: float) -> list[str]:
        """Return the frames that may go out now; they count as sent on this connection."""
        self._refill(now_s)
        in_flight = sum(command.sent for command in self._commands.values())
        frames = []
        for command in self._commands.values():
            if in_flight >= STREAM_COMMANDS_IN_FLIGHT or self._allowance < _ONE:
                break
            if not command.sent:
                command.sent = command.ever_sent = True
                self._allowance -= 1
                in_flight += 1
                frames.append(command.frame)
        return frames

    def next_at_s(self) -> float | None:
        """Return when the next frame may go out, if only the allowance holds it back."""
        in_flight = sum(command.sent for command in self._commands.values())
        idle = in_flight == len(self._commands) or in_flight >= STREAM_COMMANDS_IN_FLIGHT
        if idle or self._counted_at_s is None:
            return None
        return self._counted_at_s + max(0.0, 1 - self._allowance) / STREAM_COMMANDS_PER_S

    def disconnect(self) -> None:
        """Note that the connection is gone: what is unanswered goes out again on the next."""
        for command in self._commands.values():
            command.sent = False

    def answer(self, command_id: str) -> Command | None:
        """Return and forget the command of this id; None where it was answered before."""
        return self._commands.pop(command_id, None)

    def withdraw(self, command_id: str) -> None:
        """Forget a command that nobody waits for, if it was never sent."""
        command = self._commands.get(command_id)
        if command is not None and not command.ever_sent:
            del self._commands[command_id]

    def take_all(self) -> list[Command]:
        """Return and forget every command: the stream ends."""
        commands = list(self._commands.values())
        self._commands.clear()
        return commands

    def _refill(self, now_s: float) -> None:
        if self._counted_at_s is not None:
            gained = (now_s - self._counted_at_s) * STREAM_COMMANDS_PER_S
            self._allowance = min(STREAM_COMMANDS_BURST, self._allowance + gained)
        self._counted_at_s = now_s


def stream_closed() -> Retryable:
    """Return the error of a command whose stream ended before its answer."""
    return Retryable(
        "stream_closed",
        "The stream was closed; whether the command was carried out is not known.",
        hint="Give it again with the same idempotency key: it is not carried out twice.",
    )
