"""The chat agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from regend.agents.chat import run
from regend.errors import BadInput, NotFound
from tests.agents.inprocess import InProcess, Library


def _chat(tmp_path: Path, given: dict[str, Any], **more: Any) -> InProcess:
    return InProcess(Library(tmp_path / "library.db"), given, "tiny", **more)


def test_a_prompt_is_one_message_of_the_user(tmp_path: Path) -> None:
    heard: list[Any] = []

    def write(messages: list[dict[str, str]]) -> str:
        heard.extend(messages)
        return "Good day to you."

    result = run(_chat(tmp_path, {"prompt": "नमस्ते"}, writer=write))
    assert heard == [{"role": "user", "content": "नमस्ते"}]
    assert result["text"] == "Good day to you." and result["finish_reason"] == "stop"
    assert result["usage"] == {"completion_tokens": 4}


def test_a_conversation_is_given_as_it_is_and_its_bound_kept(tmp_path: Path) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    given = {"messages": messages, "max_tokens": 2}
    context = _chat(tmp_path, given, writer=lambda heard: str(heard == messages) + " it is")
    assert run(context)["text"].startswith("True")
    assert run(context)["finish_reason"] == "length"


def test_a_finished_reply_is_not_generated_again(tmp_path: Path) -> None:
    first = _chat(tmp_path, {"prompt": "Hi"}, writer=lambda _: "Hello.")
    result = run(first)
    (tmp_path / "again").mkdir()
    again = _chat(tmp_path / "again", {"prompt": "Hi"}, journal=first.journal)
    assert run(again) == result and again.ran == []


@pytest.mark.parametrize("given", [{}, {"prompt": "Hi", "messages": []}])
def test_exactly_one_of_prompt_and_messages_is_taken(tmp_path: Path, given: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        run(_chat(tmp_path, given, writer=lambda _: "Hello."))


def test_a_model_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        run(_chat(tmp_path, {"prompt": "Hi"}))
