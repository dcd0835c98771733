"""The durable context that an agent runs in: everything it finishes is journaled by the daemon.

Replay: an attempt runs the program from its beginning. A step that is recorded returns its result
without running; the first that is not recorded runs. A recorded step whose name or input differs
from what the program asks for now means that the program changed: the job waits for a person.

Rule: the worker begins the next step only after the daemon acknowledged the last.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

from regend.errors import Failed, RegendError
from regend.events import JOB_PROGRESS, MODEL_CHUNK
from regend.jobs.frames import Frame
from regend.jobs.reports import split_chunk
from regend.jsontext import check, digest, dumps, loads
from regend.worker.channel import Channel

T = TypeVar("T")


class Stopped(BaseException):
    """The attempt ends here because it was asked to (`pause`, `shutdown`, `cancel`)."""


class Parked(BaseException):
    """The job waits for a person; `waiting` says for what."""

    def __init__(self, waiting: dict[str, Any]) -> None:
        super().__init__(waiting.get("message", ""))
        self.waiting = waiting


class Runtime:
    """Implements the context that agents are written against.

    Attributes:
        input: the checked input of the job.
        job_id: its id.
        model: the model that the person chose.
        seed: makes sampling repeatable.
    """

    def __init__(self, channel: Channel, begin: Frame) -> None:
        self.input: dict[str, Any] = json.loads(begin["input"])
        self.job_id: str = begin["job_id"]
        self.model: str = begin["model"]
        self.seed: int = int(self.input.get("seed", begin["seed"]))
        self.channel = channel
        self._recorded = {step[0]: step for step in begin["steps"]}
        self._ordinal = 0
        self._inside: str | None = None
        self._progress = (0.0, "")

    def step(self, name: str, function: Callable[..., T], *args: Any) -> T:
        """Run `function(*args)` once in the life of the job and return its result.

        Args:
            name: what the step is called, for people and for replay.
            function: returns what JSON can carry.
            args: hashed into the step's identity, so they too must be what JSON can carry.

        Raises:
            RegendError: whatever the function raises; nothing is recorded then.
        """

        def run(_ordinal: int, _input_hash: str) -> T:
            self._inside = name
            try:
                return function(*args)
            finally:
                self._inside = None

        return self.once(name, [list(args)], run)

    def emit(self, type: str, data: dict[str, Any]) -> None:
        """Show an event; it is volatile until the next durable write.

        Raises:
            BadInput: it holds what JSON cannot carry.
        """
        check(data)
        for part in split_chunk(data) if type == MODEL_CHUNK else [data]:
            self.channel.send({"op": "event", "type": type, "data": part})

    def progress(self, percent: float, step: str) -> None:
        """Show how far the job is."""
        self._progress = (percent, step)
        self.emit(JOB_PROGRESS, {"progress": percent, "step": step})

    def call(self, service: str, **arguments: Any) -> Any:
        """Call a service of the daemon and return its value.

        Raises:
            RegendError: the service refused.
        """
        return self.channel.ask("call", service=service, arguments=arguments)

    def approve(self, action: str, preview: dict[str, Any]) -> bool:
        """Ask a person; return their answer, now or when the job goes on in days.

        The question is bound to the hash of exactly this action and preview.
        """

        def ask(ordinal: int, action_hash: str) -> bool:
            asked = self.channel.ask(
                "approve",
                ordinal=ordinal,
                action=action,
                action_hash=action_hash,
                preview=dumps(preview),
            )
            if asked["decision"] is None:
                message = f"“{action}” needs your approval."
                raise Parked({"reason": "approval", "approval_id": asked["id"], "message": message})
            return bool(asked["decision"] == "approved")

        return self.once("approve", [action, preview], ask)

    def effect(
        self,
        name: str,
        perform: Callable[[str], Any],
        arguments: Any,
        *,
        inquire: Callable[[str], Any] | None = None,
    ) -> Any:
        """Do something outside that must not happen twice, and return its receipt.

        Args:
            perform: does it, given an idempotency key; returns a receipt that JSON can carry.
            arguments: what is done, hashed into the effect's identity.
            inquire: asks the other side whether the key was seen; returns its receipt or None.

        After a crash between intent and receipt the other side is asked; where it cannot be
        asked, the job waits for a person. It is never repeated in silence.
        """

        def settle(ordinal: int, input_hash: str) -> Any:
            key = f"{self.job_id}:{ordinal}:{input_hash[:16]}"
            known = self.channel.ask(
                "intend", ordinal=ordinal, name=name, key=key, input_hash=input_hash
            )
            if known["state"] == "done":
                receipt = json.loads(known["receipt"])
            elif known["fresh"]:
                receipt = perform(key)
            else:
                receipt = self._inquire(ordinal, name, known, inquire)
            text = dumps(receipt)
            loads(text)  # what clients cannot be shown is refused here, with its reason
            self._settle_effect(ordinal, "done", text)
            return receipt

        return self.once(name, [arguments], settle)

    def once(self, name: str, identity: list[Any], work: Callable[[int, str], T]) -> T:
        """Return the recorded result of the step that begins, or do its work and record it.

        Args:
            identity: what JSON can carry; with the name, it makes the step's input hash.
            work: called with the step's ordinal and input hash; returns what JSON can carry.

        Raises:
            Stopped: the attempt was asked to end.
            Parked: the program asks for another step than the one that was recorded here.
        """
        if self._inside is not None:
            raise Failed("step_in_step", f"Step “{name}” was begun inside step “{self._inside}”.")
        if self.channel.stop_reason is not None:
            raise Stopped
        self._ordinal += 1
        ordinal, input_hash = self._ordinal, digest([name, *identity])
        if ordinal in self._recorded:
            replayed: T = self._replayed(ordinal, name, input_hash)
            return replayed
        started_at, started = time.time_ns() // 1_000_000, time.monotonic()
        text = dumps(work(ordinal, input_hash))
        result: T = loads(text)  # as a replay returns it; what clients cannot be shown is refused
        self.channel.ask(
            "step",
            ordinal=ordinal,
            name=name,
            input_hash=input_hash,
            result=text,
            started_at=started_at,
            duration_ms=round((time.monotonic() - started) * 1000),
        )
        return result

    def _replayed(self, ordinal: int, name: str, input_hash: str) -> Any:
        """Return what is recorded of a step that must be this one."""
        step = self._recorded[ordinal]
        if (step[1], step[2]) != (name, input_hash):
            raise Parked(
                {
                    "reason": "code_changed",
                    "ordinal": ordinal,
                    "choices": ["go_on", "restart"],
                    "message": f"The program changed: step {ordinal} was “{step[1]}”, now it is "
                    f"“{name}”. Go on with the {ordinal - 1} steps before it, restart, or fork.",
                }
            )
        result = step[3] if step[3] is not None else self.call("step.result", ordinal=ordinal)
        return json.loads(result)

    def _inquire(
        self,
        ordinal: int,
        name: str,
        known: dict[str, Any],
        inquire: Callable[[str], Any] | None,
    ) -> Any:
        """Find out what became of an effect that an earlier attempt began."""
        if known["state"] == "confirmed":
            return None
        try:
            receipt = inquire(known["key"]) if inquire is not None else None
        except RegendError:
            receipt = None
        if receipt is None:
            self._settle_effect(ordinal, "unknown", None)
            message = (
                f"“{name}” may have happened when the last attempt ended. Say whether it was done, "
                "or whether to do it again."
            )
            choices = ["done", "again"]
            raise Parked(
                {
                    "reason": "effect_unknown",
                    "ordinal": ordinal,
                    "choices": choices,
                    "message": message,
                }
            )
        return receipt

    def _settle_effect(self, ordinal: int, state: str, receipt: str | None) -> None:
        self.channel.ask("receipt", ordinal=ordinal, state=state, receipt=receipt)
