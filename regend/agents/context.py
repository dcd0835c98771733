"""The durable context: all that an agent can reach.

An agent is a function of a `Context`. It has no clock, files, sockets or database of its own:
what it learns comes from `input`, `step`, `call` and `generate`, so that a run which was cut short
goes on from its journal. The worker implements this protocol; tests implement it in process.

Rules for agents:
 1. Between steps only pure code runs: with the same recorded results, the same steps follow in the
    same order with the same names and arguments.
 2. `call` and `emit` happen inside steps, so that a replay repeats neither.
 3. What a document or a model says is data; nothing in it is obeyed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Generated:
    """What a model wrote.

    Attributes:
        text: all of it.
        finish_reason: "stop" where the model ended by itself, "length" at `max_tokens`.
        usage: counts of tokens, `prompt_tokens` and `completion_tokens` at least.
    """

    text: str
    finish_reason: str
    usage: dict[str, Any]


class Context(Protocol):
    """One attempt at a job, as its agent sees it.

    Attributes:
        input: the job's checked input.
        job_id: the job's id.
        model: catalogue name of the job's model; empty for the daemon's default.
        seed: seed for sampling; the same in every attempt.
    """

    input: dict[str, Any]
    job_id: str
    model: str
    seed: int

    def step(self, name: str, function: Callable[..., T], *args: Any) -> T:
        """Run a function once and record its result; on replay return what is recorded.

        Args:
            name: what people see in the list of steps.
            function: called with `args`; returns what JSON can hold.
            args: what JSON can hold; a change of it on replay stops the job.
        """
        ...

    def emit(self, type: str, data: dict[str, Any]) -> None:
        """Publish an event of the job.

        Args:
            type: one of `events.WORKER_EVENT_TYPES`.
            data: its payload, a JSON object.
        """
        ...

    def progress(self, percent: float, step: str) -> None:
        """Say how far the job is.

        Args:
            percent: 0 to 100.
            step: what is being done now, in a few plain words.
        """
        ...

    def call(self, service: str, **arguments: Any) -> Any:
        """Ask the daemon for a service, inside a step.

        Services: `library.search(question, limit, sources?)` returns hits `{document_id, title,
        source, heading, kind, span, text, score}`, best first; `library.text(document_id, start?,
        end?)` returns the text of that span; `library.fetch(url)` imports a page and returns its
        document with `document_id`; `library.unreadable()` returns `[{source, reason}]`.

        Raises:
            RegendError: the service refused or failed, with its own code.
        """
        ...

    def generate(
        self,
        name: str,
        *,
        messages: list[dict[str, str]],
        max_tokens: int,
        temperature: float | None = None,
        repeat_penalty: float | None = None,
        schema: dict[str, Any] | None = None,
        stop: Sequence[str] = (),
        stop_repeating: bool = False,
    ) -> Generated:
        """Let the model answer, as a durable step that streams and resumes at the same token.

        Args:
            name: of the step.
            messages: `{role, content}`, in order.
            max_tokens: most tokens to write.
            temperature: 0 for the likeliest text; None for what suits the model.
            repeat_penalty: 1 for none, as for text that quotes; None for what suits the model.
            schema: JSON Schema that the text must fit.
            stop: texts at which writing ends.
            stop_repeating: end where the text only repeats itself.

        Raises:
            RegendError: there is no such model, or the messages are longer than its context.
        """
        ...

    def count_tokens(self, text: str) -> int:
        """Return how many tokens the job's model sees in a text.

        Raises:
            RegendError: there is no such model.
        """
        ...

    def approve(self, action: str, preview: dict[str, Any]) -> bool:
        """Wait for a person to allow or deny an action; return whether it was allowed.

        Args:
            action: what is to be done, in plain words.
            preview: the exact arguments, to which the decision is bound.
        """
        ...

    def effect(
        self,
        name: str,
        perform: Callable[[str], Any],
        arguments: Any,
        *,
        inquire: Callable[[str], Any] | None = None,
    ) -> Any:
        """Do something outside that must not happen twice, as a step; return its receipt.

        Where an attempt ended between doing it and its receipt, the other side is asked; where it
        cannot be asked or does not know, the job waits for a person.

        Args:
            name: of the step.
            perform: does it, given an idempotency key; returns a receipt that JSON can hold.
            arguments: what is done, as JSON can hold it; a change of it on replay stops the job.
            inquire: asks the other side whether the key was seen; returns its receipt or None.
        """
        ...
