"""What a client hands in becomes a job to be: checked, packed, and with its defaults."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Mapping
from typing import Any

from regend.clock import Clock, new_id
from regend.config import Config
from regend.errors import BadInput, TooLarge
from regend.jobs.inputs import InputType, check_input
from regend.jobs.repository import NewJob
from regend.jsontext import digest, dumps
from regend.limits import (
    MAX_ATTEMPTS,
    MAX_JOB_INPUT_BYTES,
    MAX_PRIORITY,
    MAX_TITLE_CHARACTERS,
    MODEL_NAME_CHARACTERS,
    SEED_BITS,
)
from regend.store import Store

_FIELDS = ("type", "input", "title", "model", "priority", "max_attempts")


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
        if not isinstance(body, dict):
            raise BadInput("invalid_body", "The body must be an object.")
        for name in body:
            if name not in _FIELDS:
                raise BadInput(
                    "unknown_field",
                    f"A job has no field “{name}”.",
                    hint=f"Fields: {', '.join(_FIELDS)}.",
                    field=name,
                )
        type_name = body.get("type")
        checked = check_input(type_name, body.get("input", {}), self._types)
        text = dumps(checked)
        if len(text.encode()) > MAX_JOB_INPUT_BYTES:
            raise TooLarge(
                "input_too_large", f"The input is over {MAX_JOB_INPUT_BYTES} bytes.", field="input"
            )
        title = _text(body, "title") or self._types[str(type_name)].title(checked)
        return NewJob(
            id=new_id(self._clock),
            user=user,
            type=str(type_name),
            title=" ".join(title.split())[:MAX_TITLE_CHARACTERS],
            input=await self._store.pack(text),
            model=_model(body) or self._config.models.default,
            priority=_whole(body, "priority", 0, -MAX_PRIORITY, MAX_PRIORITY),
            max_attempts=_whole(
                body, "max_attempts", self._config.jobs.max_attempts, 1, MAX_ATTEMPTS
            ),
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


def _text(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise BadInput("invalid_field", f"“{name}” must be a text that is not empty.", field=name)
    return value


def _model(body: dict[str, Any]) -> str | None:
    model = _text(body, "model")
    if model is not None and (len(model) > MODEL_NAME_CHARACTERS or not model.isprintable()):
        raise BadInput(
            "invalid_field",
            f"“model” must be a name of at most {MODEL_NAME_CHARACTERS} printable characters.",
            hint="See: regend models list",
            field="model",
        )
    return model


def _whole(body: dict[str, Any], name: str, default: int, low: int, high: int) -> int:
    value = body.get(name)
    if value is None:
        return default
    if type(value) is not int or not low <= value <= high:
        raise BadInput(
            "invalid_field", f"“{name}” must be a whole number from {low} to {high}.", field=name
        )
    return value
