"""Calls between two devices: one asks the other to do something, and is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from regend.errors import RegendError, Retryable
from regend.limits import CALL_TIMEOUT_S
from regend.sync.link import Link
from regend.sync.session import Answered, Called, Session


class Calls:
    """The calls of one exchange, both ways.

    Args:
        do: does what the other side calls for; its errors go back as they are.

    Attributes:
        greeted: set once the own hello is on its way: the first thing that is said.
        serving: calls of the other side that are being done.
    """

    def __init__(
        self, session: Session, link: Link, do: Callable[[str, dict[str, Any]], Awaitable[Any]]
    ) -> None:
        self._session = session
        self._link = link
        self._do = do
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self.greeted = asyncio.Event()
        self.serving: set[asyncio.Task[None]] = set()

    async def make(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Ask the other side to do something; return what it answers.

        Raises:
            Retryable: the link ended, or no answer came in time.
            RegendError: what the other side refused with.
        """
        number, message = self._session.call(name, arguments)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                await self.greeted.wait()
                await self._link.send(message)
                return await answer
        except TimeoutError as error:
            raise _gone() from error
        finally:
            self._answers.pop(number, None)

    def serve(self, call: Called) -> None:
        """Do what the other side asks for, beside whatever else it says meanwhile."""
        task = asyncio.create_task(self._serve(call), name="exchange-call")
        self.serving.add(task)
        task.add_done_callback(self.serving.discard)

    def take(self, answer: Answered) -> None:
        """Hand an answer to whoever waits for it."""
        waiting = self._answers.get(answer.number)
        if waiting is None or waiting.done():
            return
        if answer.ok:
            waiting.set_result(answer.value)
            return
        body = answer.value if isinstance(answer.value, dict) else {}
        status = body.get("status")
        error = RegendError.from_dict(body, status if isinstance(status, int) else None)
        waiting.set_exception(error)

    async def close(self) -> None:
        """End what is being done, and tell who waits that nothing comes any more."""
        for task in list(self.serving):
            task.cancel()
        await asyncio.gather(*self.serving, return_exceptions=True)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(_gone())

    async def _serve(self, call: Called) -> None:
        try:
            value = await self._do(call.name, call.arguments)
            answer = self._session.answer(call.number, True, value)
        except RegendError as error:
            body = {**error.to_dict(), "status": error.status}
            answer = self._session.answer(call.number, False, body)
        with suppress(RegendError):
            await self.greeted.wait()
            await self._link.send(answer)


def _gone() -> Retryable:
    return Retryable(
        "device_gone",
        "The other device does not answer any more.",
        hint="See whether it can be reached: regend devices list",
    )
