"""Which documents and which parts of them are read."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from regend.agents.evidence.question import parts
from regend.agents.evidence.reading import (
    BEYOND_CHARACTERS,
    HEAD_CHARACTERS,
    WHOLE_CHARACTERS,
    documents_to_read,
    windows,
)


def _hit(name: str, rank: int, search: int = 0) -> dict[str, Any]:
    source = f"notes/{name}.md"
    place = {"rank": rank, "search": search, "span": [0, 1]}
    return {"document_id": name, "title": "Notes", "source": source, **place}


def test_a_document_that_the_question_names_comes_first() -> None:
    hits = [_hit("other", 0), _hit("another", 1), _hit("fastparse", 2)]
    read = documents_to_read(parts("How fast is fastparse?"), hits, 2)
    assert [own[0]["document_id"] for own in read] == ["fastparse", "other"]


def test_a_document_that_every_search_finds_beats_one_that_one_search_finds() -> None:
    hits = [_hit("once", 0), _hit("often", 1), _hit("often", 0, 1), _hit("often", 0, 2)]
    read = documents_to_read(parts("Why?"), hits, 1)
    assert [own[0]["document_id"] for own in read] == ["often"]


def test_a_short_document_is_read_whole() -> None:
    text = "line\n" * 100
    assert list(windows([(10, 20)], lambda start, end: text[start:end])) == [(0, text)]


@given(st.lists(st.tuples(st.integers(0, 99_000), st.integers(1, 1200)), max_size=20))
def test_windows_of_a_long_document_hold_what_was_found_and_do_not_overlap(
    found: list[tuple[int, int]],
) -> None:
    text = "".join(f"{number:09d}\n" for number in range(10_000))
    assert len(text) > WHOLE_CHARACTERS
    spans = [(start, min(start + length, len(text))) for start, length in found]
    parts = list(windows(spans, lambda start, end: text[start:end]))
    assert all(text[start : start + len(part)] == part for start, part in parts)
    ends = [start + len(part) for start, part in parts]
    assert all(end <= start for end, (start, _) in zip(ends, parts[1:], strict=False))
    assert parts[0] == (0, text[: len(parts[0][1])]) and ends[0] >= HEAD_CHARACTERS
    for start, end in sorted(set(spans))[:12]:
        assert any(low <= start and end <= low + len(part) for low, part in parts)
    assert sum(len(part) for _, part in parts) <= HEAD_CHARACTERS + 12 * (1200 + BEYOND_CHARACTERS)
