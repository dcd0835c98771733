"""Chunks: whole tokens, never taken back, never shown twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regend.models.emitter import Diverged, Emitter, repeats_itself
from regend.models.records import Chunk, GenerationRequest, Shown

PIECES = st.lists(st.tuples(st.text("ab\nन", max_size=3), st.integers(1, 3)), max_size=30)
STOPS = st.lists(st.text("ab\nन", min_size=1, max_size=4), max_size=2)


def emit(
    pieces: list[tuple[str, int]], stop: list[str], shown: Shown | None = None
) -> tuple[list[Chunk], str]:
    chunks: list[Chunk] = []
    emitter = Emitter(GenerationRequest(stop=tuple(stop)), shown or Shown(), chunks.append)
    if not any(emitter.add(text, tokens) for text, tokens in pieces):
        emitter.finish()
    return chunks, emitter.text


@given(PIECES, STOPS)
def test_chunks_are_the_text_up_to_the_first_stop(
    pieces: list[tuple[str, int]], stop: list[str]
) -> None:
    chunks, text = emit(pieces, stop)
    assert "".join(chunk.text for chunk in chunks) == text
    assert "".join(piece for piece, _ in pieces).startswith(text)
    assert not any(one in text for one in stop)
    at = 0
    for chunk in chunks:
        assert chunk.offset == at and chunk.text
        at += chunk.tokens


@given(PIECES, STOPS, st.integers(0, 30))
def test_a_repeated_attempt_shows_exactly_what_was_not_seen(
    pieces: list[tuple[str, int]], stop: list[str], seen: int
) -> None:
    chunks, text = emit(pieces, stop)
    before = chunks[:seen]
    shown = Shown(sum(chunk.tokens for chunk in before), "".join(chunk.text for chunk in before))
    again, repeated = emit(pieces, stop, shown)
    assert repeated == text
    assert before + again == chunks


def test_a_repeated_attempt_that_differs_is_noticed_before_anything_new_is_shown() -> None:
    chunks: list[Chunk] = []
    emitter = Emitter(GenerationRequest(), Shown(3, "abc"), chunks.append)
    emitter.add("a", 1)
    with pytest.raises(Diverged):
        emitter.add("x", 1)
    assert chunks == []


def test_what_a_checkpoint_released_and_nobody_saw_is_shown_on_resume() -> None:
    chunks: list[Chunk] = []
    emitter = Emitter(GenerationRequest(), Shown(1, "a"), chunks.append)
    emitter.go_on_from("abcd", 4, 3, 3)
    emitter.add("e", 1)
    assert chunks == [Chunk("bc", 1, 2), Chunk("de", 3, 2)]


@pytest.mark.parametrize("piece", ["-go", "The answer is this. ", "जी हाँ। ", "\n"])
def test_an_answer_that_only_repeats_itself_ends_where_it_is_asked_to(piece: str) -> None:
    begin = "Once upon a time "
    for stops in (True, False):
        chunks: list[Chunk] = []
        emitter = Emitter(GenerationRequest(stop_repeating=stops), Shown(), chunks.append)
        ended = emitter.add(begin, 4) or any(emitter.add(one, 1) for one in piece * 200)
        assert ended is stops
        assert "".join(chunk.text for chunk in chunks) == emitter.text
        assert (len(emitter.text) < len(begin + piece * 200) / 2) is stops


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ha ha ha ha ha!",
        "The rent is due on the 1st. The deposit is due on the 5th. The keys are due on the 9th.",
        "| 1 | 2 |\n| 1 | 3 |\n| 2 | 3 |\n| 2 | 4 |\n| 3 | 4 |\n| 3 | 5 |\n| 4 | 5 |\n",
    ],
)
def test_a_text_that_says_things_alike_does_not_repeat_itself(text: str) -> None:
    assert not any(repeats_itself(text[:end]) for end in range(len(text) + 1))
