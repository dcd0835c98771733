"""What each type of job takes: schemas as data, checked before a job exists."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from regend.errors import BadInput
from regend.jobs.schemas import check_schema
from regend.jsonschema import Schema, check, choice, fields, flag, optional, text, whole, words
from regend.limits import (
    MAX_ATTEMPTS,
    MAX_INTEGER,
    MAX_PRIORITY,
    MODEL_NAME_CHARACTERS,
    QUESTION_CHARACTERS,
)

# What a job of any type takes beside its input.
OPTIONS: dict[str, Schema] = {
    "title": optional(text(pattern="\\S")),
    "model": optional(words(MODEL_NAME_CHARACTERS)),
    "priority": optional(whole(-MAX_PRIORITY, MAX_PRIORITY)),
    "max_attempts": optional(whole(1, MAX_ATTEMPTS)),
}
NEW_JOB = fields(type={}, input={}, **OPTIONS)  # type and input are for `check_input` to judge


@dataclass(frozen=True)
class InputType:
    """What one type of job takes.

    Attributes:
        schema: of the input, an object.
        scope: what a token needs besides `jobs:write`, since the job does for its user what that
            scope names.
        title: makes a title from a checked input.
        check_further: raises BadInput for what a schema cannot say.
        needs_model: nothing comes of such a job where its model is not.
    """

    schema: Schema
    title: Callable[[dict[str, Any]], str]
    scope: str = "jobs:write"
    check_further: Callable[[dict[str, Any]], None] | None = None
    needs_model: bool = False

    def check(self, value: Any) -> dict[str, Any]:
        """Return the input if it fits.

        Raises:
            BadInput: naming the field and what is wrong with it.
        """
        check(self.schema, value, "input")
        checked: dict[str, Any] = value
        if self.check_further is not None:
            self.check_further(checked)
        return checked


def _chat_title(value: dict[str, Any]) -> str:
    return str(value.get("prompt") or value["messages"][-1]["content"])


def _check_chat(value: dict[str, Any]) -> None:
    if "schema" in value:
        check_schema(value["schema"], "input.schema")


_MESSAGE = fields(
    "role",
    "content",
    role=choice("system", "user", "assistant"),
    content=text(minLength=1, pattern="\\S"),
)
_SEED = whole(0, MAX_INTEGER)

INPUT_TYPES: dict[str, InputType] = {
    "chat": InputType(
        fields(
            messages={"type": "array", "items": _MESSAGE, "minItems": 1, "maxItems": 1000},
            prompt=words(4_000_000),
            max_tokens=whole(1, 1_000_000),
            temperature={"type": "number", "minimum": 0, "maximum": 2},
            seed=_SEED,
            schema={"type": "object", "description": "a JSON Schema object"},
        )
        | {"oneOf": [{"required": ["messages"]}, {"required": ["prompt"]}]},
        _chat_title,
        check_further=_check_chat,
        needs_model=True,
    ),
    "research": InputType(
        fields(
            "question",
            question=words(QUESTION_CHARACTERS),
            sources={"type": "array", "items": text(), "maxItems": 1000},
            online=flag(),
            depth=choice("quick", "normal", "deep"),
            seed=_SEED,
        ),
        lambda value: str(value["question"]),
        scope="library:read",
    ),
    "pull": InputType(
        fields("name", name=words(MODEL_NAME_CHARACTERS)),
        lambda value: f"Pull {value['name']}",
        scope="models:write",
    ),
}


def check_input(
    type_name: Any, value: Any, types: Mapping[str, InputType] = INPUT_TYPES
) -> dict[str, Any]:
    """Return the checked input of a job of this type.

    Raises:
        BadInput: the type is unknown or the input does not fit it.
    """
    kind = types.get(type_name) if isinstance(type_name, str) else None
    if kind is None:
        near = difflib.get_close_matches(str(type_name), types, n=1)
        raise BadInput(
            "unknown_job_type",
            f"There is no job type “{str(type_name)[:100]}”.",
            hint=f"Did you mean “{near[0]}”?" if near else f"Types: {', '.join(types)}.",
            field="type",
        )
    return kind.check(value)
