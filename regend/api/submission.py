"""Handing jobs in and letting them go on, the same over REST and WebSocket: who may, how fast."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from regend.api.limiter import RateLimiter
from regend.api.tokens import Grant
from regend.errors import RegendError
from regend.jobs import keys
from regend.jobs.inputs import NEW_JOB
from regend.jobs.service import Jobs
from regend.jsonschema import check

_PACED = "research"


class Submissions:
    """Takes jobs; research no faster than `research` allows to a token.

    Args:
        require_model: raises NotFound for the name of a model that nobody knows.
    """

    def __init__(
        self,
        jobs: Jobs,
        research: RateLimiter,
        require_model: Callable[[str], Awaitable[None]],
    ) -> None:
        self._jobs = jobs
        self._research = research
        self._require_model = require_model

    def require(self, grant: Grant, type_name: Any) -> None:
        """Refuse a caller whose token may not do what jobs of this type do.

        A type that does not exist needs nothing: whoever takes the job says that.

        Raises:
            NotAllowed: the token lacks the scope of the type.
        """
        kind = self._jobs.types.get(type_name) if isinstance(type_name, str) else None
        if kind is not None:
            grant.require(kind.scope)

    async def require_for_job(self, grant: Grant, job_id: str) -> None:
        """Refuse a caller who may not start what this job does: to let it go on is no less.

        Raises:
            NotAllowed: the token lacks the scope of the job's type.
            NotFound: there is no such job, or it is another's.
        """
        self.require(grant, await self._jobs.type_of(grant.user, job_id))

    async def require_for_approval(self, grant: Grant, approval_id: str) -> None:
        """Refuse a caller who may not start what the job does that waits for this approval.

        Raises:
            NotAllowed: the token lacks the scope of the job's type.
            NotFound: there is no such approval, or it is another's.
        """
        self.require(grant, await self._jobs.type_that_asks(grant.user, approval_id))

    async def submit(self, grant: Grant, body: Any, key: Any) -> dict[str, Any]:
        """Return the job once it is durable.

        Only what starts a job counts against the pace: not a refused request, and not one that
        repeats an earlier one, or a client that lost the answer would be told no to a job that
        runs.

        Args:
            key: idempotency key, as it was sent.

        Raises:
            NotAllowed: the token lacks the scope that jobs of this type need.
            NotFound: there is no model of that name.
            RateLimited: too much research was started.
            RegendError: what `Jobs.submit` raises.
        """
        key = keys.checked(key)
        check(NEW_JOB, body)
        type_name, model = body.get("type"), body.get("model")
        self.require(grant, type_name)
        paced = type_name == _PACED and _PACED in self._jobs.types
        with contextlib.ExitStack() as checks:
            if (paced or model) and not await self._jobs.was_submitted(grant.user, key):
                if paced:
                    # What is wrong with it comes before that there is too much of it.
                    self._jobs.types[_PACED].check(body.get("input", {}))
                    checks.enter_context(self._at_pace(grant))
                if model is not None:
                    await self._require_model(model)
            return await self._jobs.submit(grant.user, body, key)

    async def fork(self, grant: Grant, job_id: str, step: int | None, key: Any) -> dict[str, Any]:
        """Return a new job that begins as another did; of research, it counts as a start.

        To let a job go on, or try again, counts for nothing: it was counted when it was started.

        Raises:
            NotAllowed: the token lacks the scope that jobs of this type need.
            RateLimited: too much research was started.
            RegendError: what `Jobs.fork` raises.
        """
        key = keys.checked(key)
        type_name = await self._jobs.type_of(grant.user, job_id)
        self.require(grant, type_name)
        with contextlib.ExitStack() as checks:
            if type_name == _PACED and not await self._jobs.was_submitted(grant.user, key):
                checks.enter_context(self._at_pace(grant))
            return await self._jobs.fork(grant.user, job_id, step, key)

    @contextlib.contextmanager
    def _at_pace(self, grant: Grant) -> Iterator[None]:
        """Count one start of research, unless what is done here fails."""
        self._research.take(grant.token_id, "research jobs", "limits.research_per_minute")
        try:
            yield
        except RegendError:
            self._research.give_back(grant.token_id)
            raise
