"""Turns a request into the token ids of its prompt, on the model's own template and vocabulary."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from regend.errors import BadInput
from regend.models.hostclient import HostClient
from regend.models.records import GenerationRequest

ROLES = ("system", "user", "assistant")


def prompt_tokens(client: HostClient, request: GenerationRequest) -> list[int]:
    """Return the prompt's token ids.

    Special tokens that a message spells out (a passage from the web may hold `<|im_end|>`) are
    text, and end no turn of the conversation.

    Raises:
        BadInput: neither or both of messages and prompt, or a message of the wrong shape.
    """
    if (request.messages is None) == (request.prompt is None):
        raise BadInput("prompt_invalid", "Give either messages or a prompt.", field="messages")
    if request.prompt is not None:
        return tokenize(client, _whole(request.prompt, "prompt"), begins=True, special=True)
    messages = check_messages(request.messages or ())
    if any(_spells_special(client, message["content"]) for message in messages):
        return _tokens_of_parts(client, messages)
    return tokenize(client, _lay_out(client, messages), begins=True, special=True)


def tokenize(client: HostClient, text: str, *, begins: bool, special: bool) -> list[int]:
    """Return the token ids of a text.

    Args:
        begins: whether the tokens that begin a prompt are added.
        special: whether spelled-out special tokens count as such.
    """
    body = {"content": text, "add_special": begins, "parse_special": special}
    answer = client.call("/tokenize", body)
    return [int(token) for token in answer["tokens"]]


def check_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return the messages as plain dicts.

    Raises:
        BadInput: `messages_invalid`, naming the field.
    """
    if not messages:
        raise BadInput("messages_invalid", "There is no message.", field="messages")
    checked = []
    for number, message in enumerate(messages):
        field = f"messages[{number}]"
        role, content = message.get("role"), message.get("content")
        if role not in ROLES:
            raise BadInput(
                "messages_invalid", f"A role is one of {', '.join(ROLES)}.", field=f"{field}.role"
            )
        if not isinstance(content, str):
            raise BadInput(
                "messages_invalid", "The content of a message is text.", field=f"{field}.content"
            )
        checked.append({"role": str(role), "content": _whole(content, f"{field}.content")})
    return checked


def _whole(text: str, field: str) -> str:
    """Return the text if it can be sent as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadInput(
            "text_not_unicode", "The text holds half of a surrogate pair.", field=field
        ) from error
    return text


def _lay_out(client: HostClient, messages: Sequence[Mapping[str, str]]) -> str:
    return str(client.call("/apply-template", {"messages": messages})["prompt"])


def _spells_special(client: HostClient, text: str) -> bool:
    """Return whether the vocabulary would read a special token in the text."""
    if "<" not in text and "[" not in text:
        return False
    plain = tokenize(client, text, begins=False, special=False)
    return plain != tokenize(client, text, begins=False, special=True)


def _tokens_of_parts(client: HostClient, messages: Sequence[Mapping[str, str]]) -> list[int]:
    """Tokenise the template's text and the messages' texts apart."""
    marks = [f"M{secrets.token_hex(8)}E" for _ in messages]
    marked = [
        {"role": message["role"], "content": mark}
        for message, mark in zip(messages, marks, strict=True)
    ]
    rest = _lay_out(client, marked)
    tokens: list[int] = []
    for message, mark in zip(messages, marks, strict=True):
        before, found, rest = rest.partition(mark)
        if not found:
            raise BadInput(
                "messages_invalid", "The model's template has no place for one of the messages."
            )
        tokens += tokenize(client, before, begins=not tokens, special=True)
        tokens += tokenize(client, message["content"], begins=False, special=False)
    return tokens + tokenize(client, rest, begins=False, special=True)
