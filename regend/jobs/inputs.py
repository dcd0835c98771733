"""What each type of job takes: fields, types and bounds as data, checked before a job exists."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from regend.errors import BadInput
from regend.jobs.schemas import check_schema
from regend.limits import MAX_INTEGER, MODEL_NAME_CHARACTERS, QUESTION_CHARACTERS

Check = Callable[[Any, str], None]


@dataclass(frozen=True)
class Field:
    """One input field.

    Attributes:
        check: raises BadInput for an unfit value.
        schema: JSON Schema of the field, for the OpenAPI document.
        required: whether it must be there.
    """

    check: Check
    schema: dict[str, Any]
    required: bool = False


@dataclass(frozen=True)
class InputType:
    """What one type of job takes.

    Attributes:
        fields: by name.
        one_of: names of which exactly one must be given, where not empty.
        scope: what a token needs besides `jobs:write`, since the job does for its user what that
            scope names.
        title: makes a title from a checked input.
        needs_model: nothing comes of such a job where its model is not.
    """

    fields: Mapping[str, Field]
    title: Callable[[dict[str, Any]], str]
    one_of: tuple[str, ...] = ()
    scope: str = "jobs:write"
    needs_model: bool = False

    def check(self, value: Any) -> dict[str, Any]:
        """Return the input if it fits.

        Raises:
            BadInput: naming the field and what is wrong with it.
        """
        if not isinstance(value, dict):
            raise _unfit("input", "must be an object")
        for name in value:
            if name not in self.fields:
                near = difflib.get_close_matches(str(name), self.fields, n=1)
                hint = f"Did you mean “{near[0]}”?" if near else ""
                known = ", ".join(self.fields) or "none"
                raise BadInput(
                    "unknown_field",
                    f"This type of job has no field “{name}”.",
                    hint=hint or f"Fields: {known}.",
                    field=f"input.{name}",
                )
        for name, field in self.fields.items():
            if name in value:
                field.check(value[name], f"input.{name}")
            elif field.required:
                raise _unfit(f"input.{name}", "is missing")
        given = [name for name in self.one_of if name in value]
        if self.one_of and len(given) != 1:
            raise BadInput(
                "invalid_field",
                f"Give exactly one of {', '.join(self.one_of)}.",
                field=f"input.{self.one_of[0]}",
            )
        return value


def text(maximum: int, *, required: bool = False) -> Field:
    """Return a field for a text of 1 to `maximum` characters that is not blank."""

    def check(value: Any, name: str) -> None:
        if not isinstance(value, str):
            raise _unfit(name, "must be a text")
        if not value.strip():
            raise _unfit(name, "is empty")
        if len(value) > maximum:
            raise _unfit(name, f"has {len(value)} characters; at most {maximum} are taken")

    return Field(check, {"type": "string", "minLength": 1, "maxLength": maximum}, required)


def number(low: float, high: float, *, whole: bool = False) -> Field:
    """Return a field for a number from `low` to `high`."""

    def check(value: Any, name: str) -> None:
        fits = type(value) is int or (type(value) is float and not whole)
        if not fits or not low <= value <= high:
            kind = "a whole number" if whole else "a number"
            raise _unfit(name, f"must be {kind} from {low:g} to {high:g}")

    kind = "integer" if whole else "number"
    return Field(check, {"type": kind, "minimum": low, "maximum": high})


def choice(*values: str) -> Field:
    """Return a field for one of some words."""

    def check(value: Any, name: str) -> None:
        if value not in values:
            raise _unfit(name, f"must be one of {', '.join(values)}")

    return Field(check, {"enum": list(values)})


def flag() -> Field:
    """Return a field for true or false."""

    def check(value: Any, name: str) -> None:
        if type(value) is not bool:
            raise _unfit(name, "must be true or false")

    return Field(check, {"type": "boolean"})


def texts(maximum: int) -> Field:
    """Return a field for a list of at most `maximum` texts."""

    def check(value: Any, name: str) -> None:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise _unfit(name, "must be a list of texts")
        if len(value) > maximum:
            raise _unfit(name, f"has {len(value)} entries; at most {maximum} are taken")

    return Field(check, {"type": "array", "items": {"type": "string"}, "maxItems": maximum})


def schema_object() -> Field:
    """Return a field for a JSON Schema of an object."""

    def check(value: Any, name: str) -> None:
        if not isinstance(value, dict):
            raise _unfit(name, "must be a JSON Schema object")
        check_schema(value, name)

    return Field(check, {"type": "object"})


def messages(maximum: int) -> Field:
    """Return a field for a conversation: `[{role, content}]`, the last one not empty."""

    def check(value: Any, name: str) -> None:
        if not isinstance(value, list) or not value:
            raise _unfit(name, "must be a list of at least one message")
        if len(value) > maximum:
            raise _unfit(name, f"has {len(value)} messages; at most {maximum} are taken")
        for index, message in enumerate(value):
            place = f"{name}[{index}]"
            if not isinstance(message, dict) or set(message) != {"role", "content"}:
                raise _unfit(place, "must be an object with “role” and “content”")
            if message["role"] not in ("system", "user", "assistant"):
                raise _unfit(f"{place}.role", "must be system, user or assistant")
            if not isinstance(message["content"], str) or not message["content"].strip():
                raise _unfit(f"{place}.content", "must be a text that is not empty")

    message = {
        "type": "object",
        "required": ["role", "content"],
        "additionalProperties": False,
        "properties": {
            "role": {"enum": ["system", "user", "assistant"]},
            "content": {"type": "string", "minLength": 1},
        },
    }
    return Field(check, {"type": "array", "items": message, "minItems": 1, "maxItems": maximum})


def _chat_title(value: dict[str, Any]) -> str:
    return str(value.get("prompt") or value["messages"][-1]["content"])


INPUT_TYPES: dict[str, InputType] = {
    "chat": InputType(
        {
            "messages": messages(1000),
            "prompt": text(4_000_000),
            "max_tokens": number(1, 1_000_000, whole=True),
            "temperature": number(0, 2),
            "seed": number(0, MAX_INTEGER, whole=True),
            "schema": schema_object(),
        },
        _chat_title,
        one_of=("messages", "prompt"),
        needs_model=True,
    ),
    "research": InputType(
        {
            "question": text(QUESTION_CHARACTERS, required=True),
            "sources": texts(1000),
            "online": flag(),
            "depth": choice("quick", "normal", "deep"),
            "seed": number(0, MAX_INTEGER, whole=True),
        },
        lambda value: str(value["question"]),
        scope="library:read",
    ),
    "pull": InputType(
        {"name": text(MODEL_NAME_CHARACTERS, required=True)},
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


def _unfit(name: str, what: str) -> BadInput:
    return BadInput("invalid_field", f"“{name}” {what}.", field=name)
