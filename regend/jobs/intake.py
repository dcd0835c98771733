"""What a client hands in becomes a job to be: checked, packed, and with its defaults."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Mapping
from typing import Any

from regend.clock import Clock, new_id
from regend.config import Config
from regend.errors import BadInput, TooLarge
from regend.jobs.inputs import NEW_JOB, InputType, check_input
from regend.jobs.repository import NewJob
from regend.jsonschema import check
from regend.jsontext import digest, dumps
from regend.limits import (
    MAX_JOB_INPUT_BYTES,
    MAX_TITLE_CHARACTERS,
    SEED_BITS,
)
from regend.store import Store


class Intake:
    """Makes new jobs of one device.

    Args:
        store: where large inputs go.
        device: where the jobs begin.
        types: what each job type takes.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        config: Config,
        device: str,
        types: Mapping[str, InputType],
    ) -> None:
        self._store = store
        self._clock = clock
        self._config = config
        self._device = device
        self._types = types

    async def new_job(self, user: str, body: Any, key: str | None) -> NewJob:
        """Return the job that a request asks for.

        Args:
            body: `{type, input, title?, model?, priority?, max_attempts?}`.
            key: idempotency key, checked.

        Raises:
            BadInput: a field is unknown, missing or unfit.
            TooLarge: the input is over its bound.
        """
        check(NEW_JOB, body)
        type_name = body.get("type")
        checked = check_input(type_name, body.get("input", {}), self._types)
        text = dumps(checked)
        if len(text.encode()) > MAX_JOB_INPUT_BYTES:
            raise TooLarge(
                "input_too_large", f"The input is over {MAX_JOB_INPUT_BYTES} bytes.", field="input"
            )
        title = body.get("title") or self._types[str(type_name)].title(checked)
        return NewJob(
            id=new_id(self._clock),
            user=user,
            type=str(type_name),
            title=" ".join(title.split())[:MAX_TITLE_CHARACTERS],
            input=await self._store.pack(text),
            model=_model(body) or self._config.models.default,
            priority=body.get("priority") or 0,
            max_attempts=body.get("max_attempts") or self._config.jobs.max_attempts,
            seed=secrets.randbits(SEED_BITS),
            device=self._device,
            idempotency_key=key,
            request_hash=digest(body) if key is not None else None,
        )

    def fork(self, parent: sqlite3.Row, step: int | None, key: str | None) -> NewJob:
        """Return a job that begins as another did; its seed lets its text continue the same."""
        return NewJob(
            id=new_id(self._clock),
            user=parent["user"],
            type=parent["type"],
            title=parent["title"],
            input=parent["input"],
            model=parent["model"],
            priority=parent["priority"],
            max_attempts=parent["max_attempts"],
            seed=parent["seed"],
            device=self._device,
            parent_id=parent["id"],
            idempotency_key=key,
            request_hash=digest(["fork", parent["id"], step]) if key is not None else None,
        )


def _model(body: dict[str, Any]) -> str | None:
    model: str | None = body.get("model")
    if model is not None and not model.isprintable():
        raise BadInput(
            "invalid_field",
            "“model” must be a name of printable characters.",
            hint="See: regend models list",
            field="model",
        )
    return model
