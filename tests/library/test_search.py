"""The library's tables and searching them."""

from __future__ import annotations

import hashlib
import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from regend.errors import NotFound
from regend.library.documents import PIECE_CHARACTERS, NewDocument, prepare
from regend.library.index import (
    Added,
    add_document,
    append_passages,
    begin_document,
    complete_document,
    document_text,
    get_document,
    hide_document,
    list_documents,
    purge,
    unfinished,
)
from regend.library.rebuild import begin, index_page
from regend.library.search import search
from regend.store.migrations.library import library_tables
from regend.store.migrations.places import place_tables
from regend.store.migrations.rebuild import rebuild_tables
from tests.library.test_query import ENEMIES


def add(
    connection: sqlite3.Connection, text: str, title: str = "Notes", user: str = "owner"
) -> Added:
    count = connection.execute("SELECT count(*) FROM documents").fetchone()[0]
    digest = hashlib.sha256(text.encode()).hexdigest()
    new = NewDocument(title, f"{title}.md", "text/markdown", digest, len(text), "en", text)
    return add_document(
        connection,
        user=user,
        prepared=prepare(new),
        id=f"{count:08}-{digest}-{user}",
        at_ms=1000 + count,
    )


def remove_document(connection: sqlite3.Connection, user: str, id: str) -> None:
    number = hide_document(connection, user, id)
    while purge(connection, number, 400):
        pass


def test_a_hit_says_document_heading_and_span_and_quotes_it_exactly(
    connection: sqlite3.Connection,
) -> None:
    text = "# Guide\n\n## Ports\n\nThe daemon listens on port 7867.\n\n## Other\n\nNothing here."
    added = add(connection, text, "Guide")
    (hit,) = search(connection, "owner", "On which port does the daemon listen?")
    assert hit.document_id == added.document.id
    assert (hit.title, hit.source, hit.heading) == ("Guide", "Guide.md", "Guide › Ports")
    assert hit.text == "# Guide\n\n## Ports\n\nThe daemon listens on port 7867."
    assert document_text(connection, "owner", hit.document_id, *hit.span) == hit.text
    assert hit.score > 0


@pytest.mark.parametrize(
    ("question", "right"),
    [
        ("किताबें किसने लिखी?", "यह किताब प्रेमचंद ने लिखी थी।"),
        ("பள்ளியில் என்ன?", "பள்ளி காலையில் திறக்கும்."),
        ("বাংলাদেশের রাজধানী কী?", "ঢাকা বাংলাদেশ নামক দেশের রাজধানী।"),
        ("పుస్తకాలు ఎక్కడ?", "పుస్తకం బల్ల మీద ఉంది."),
        ("पुस्तकांमध्ये काय?", "हे पुस्तक जुने आहे."),
        ("പുസ്തകങ്ങൾ എവിടെ?", "പുസ്തകം മേശപ്പുറത്താണ്."),
        ("How are installations configured?", "Installing needs a configuration file."),
    ],
)
def test_a_question_finds_other_forms_of_its_words(
    connection: sqlite3.Connection, question: str, right: str
) -> None:
    for text in (right, "मौसम अच्छा था।", "வானிலை நன்று.", "আবহাওয়া ভালো।", "Nothing of that kind."):
        add(connection, text)
    assert [hit.text for hit in search(connection, "owner", question)][:1] == [right]


def test_a_passage_with_all_words_comes_before_one_with_a_rare_word_often(
    connection: sqlite3.Connection,
) -> None:
    for i in range(30):
        add(connection, f"A proxy stands here, number {i}.")
    add(connection, "proxy proxy proxy proxy.")
    best = add(connection, "The timeout of the proxy connection is nine seconds.")
    hits = search(connection, "owner", "What is the connection timeout of the proxy?")
    assert hits[0].document_id == best.document.id


def test_titles_and_headings_count_more_than_text(connection: sqlite3.Connection) -> None:
    add(connection, "Somewhere zeroconf is named among many other things.")
    best = add(connection, "# Zeroconf\n\nIt finds devices by itself.", "Zeroconf")
    assert search(connection, "owner", "zeroconf")[0].document_id == best.document.id


def test_words_in_quotes_must_be_there_side_by_side(connection: sqlite3.Connection) -> None:
    add(connection, "The resume is exact.")
    best = add(connection, "An exact resume is what we want.")
    assert [h.document_id for h in search(connection, "owner", '"exact resume"')] == [
        best.document.id
    ]


def test_the_beginning_of_a_word_finds_it_at_the_end_of_a_question(
    connection: sqlite3.Connection,
) -> None:
    add(connection, "The zeroconf library.")
    assert search(connection, "owner", "zeroc")
    assert search(connection, "owner", "zeroc?") == []


def test_the_words_of_others_stand_for_no_beginning_and_crowd_out_none(
    connection: sqlite3.Connection,
) -> None:
    own = add(connection, "The confluence of two rivers.", user="bob").document
    for number in range(20):
        add(connection, f"Word conf{number}.", user="alice")
    hits = search(connection, "bob", "conf")
    assert [hit.document_id for hit in hits] == [own.id]
    other = add(connection, "Nothing of it.", user="bob").document
    assert search(connection, "bob", "conf", documents=[other.id]) == []


def test_what_no_document_has_is_not_found(connection: sqlite3.Connection) -> None:
    assert search(connection, "owner", "anything") == []
    add(connection, "Something else entirely.")
    assert search(connection, "owner", "quantum chromodynamics") == []
    assert search(connection, "owner", "") == []


@pytest.mark.parametrize("question", ENEMIES, ids=range(len(ENEMIES)))
def test_an_odd_question_is_answered_like_any_other(
    connection: sqlite3.Connection, question: str
) -> None:
    add(connection, "A word about क and nothing else.")
    assert isinstance(search(connection, "owner", question), list)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(question=st.text(), text=st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_no_question_ever_finds_what_is_anothers(
    connection: sqlite3.Connection, question: str, text: str
) -> None:
    add(connection, text, user="alice")
    add(connection, f"{text} {question.encode(errors='replace').decode()} secret", user="alice")
    assert search(connection, "bob", f"{question} {text} secret") == []


def test_one_users_passages_and_documents_are_not_anothers(connection: sqlite3.Connection) -> None:
    hers = add(connection, "Shared words, hers.", user="alice").document
    his = add(connection, "Shared words, his.", user="bob").document
    more = add(connection, "Shared words, hers again.", user="alice").document
    found = {hit.document_id for hit in search(connection, "alice", "shared words")}
    assert found == {hers.id, more.id}
    assert list_documents(connection, "bob", 10) == ([his], None)
    with pytest.raises(NotFound):
        document_text(connection, "bob", hers.id)
    with pytest.raises(NotFound):
        remove_document(connection, "bob", hers.id)


def test_the_same_bytes_are_stored_once_for_a_user_and_again_for_another(
    connection: sqlite3.Connection,
) -> None:
    first = add(connection, "The same.")
    again = add(connection, "The same.", "Other name")
    assert first.is_new
    assert not again.is_new
    assert again.document == first.document
    assert add(connection, "The same.", user="bob").is_new


def test_a_removed_document_leaves_nothing_behind(connection: sqlite3.Connection) -> None:
    kept = add(connection, "Kept words stay.").document
    gone = add(connection, "# Gone\n\n" + "Gone words go. " * 5000).document
    remove_document(connection, "owner", gone.id)
    assert search(connection, "owner", "gone") == []
    assert [hit.document_id for hit in search(connection, "owner", "words")] == [kept.id]
    for table in ("passages", "document_texts"):
        rows = connection.execute(f"SELECT DISTINCT document FROM {table}").fetchall()
        assert rows == [(kept.number,)]
    connection.execute("INSERT INTO passages_fts (passages_fts) VALUES ('integrity-check')")
    terms = {term for (term,) in connection.execute("SELECT term FROM passages_terms")}
    assert terms == {"kept", "word", "stai", "note"}
    with pytest.raises(NotFound):
        get_document(connection, "owner", gone.id)


def test_an_unfinished_document_is_not_seen_and_can_be_cleared(
    connection: sqlite3.Connection,
) -> None:
    new = NewDocument("T", "s", "text/plain", "d", 4, "en", "Half a document.")
    begin_document(connection, user="owner", prepared=prepare(new), id="1", at_ms=1)
    assert list_documents(connection, "owner", 10) == ([], None)
    ((number, _),) = unfinished(connection)
    assert not purge(connection, number, 10)
    assert unfinished(connection) == []


def test_pages_of_the_list_are_newest_first_without_gap_or_repeat(
    connection: sqlite3.Connection,
) -> None:
    added = [add(connection, f"Text {i}.").document.id for i in range(7)]
    listed: list[str] = []
    cursor = None
    while True:
        page, cursor = list_documents(connection, "owner", 3, cursor)
        listed += [document.id for document in page]
        if cursor is None:
            break
    assert listed == added[::-1]


def test_text_comes_back_whole_and_by_span_across_pieces(connection: sqlite3.Connection) -> None:
    text = "कखगघ 😀 " * PIECE_CHARACTERS
    id = add(connection, text).document.id
    assert document_text(connection, "owner", id) == text
    low, high = PIECE_CHARACTERS - 3, 3 * PIECE_CHARACTERS + 5
    assert document_text(connection, "owner", id, low, high) == text[low:high]
    assert document_text(connection, "owner", id, -5, 10**12) == text
    assert document_text(connection, "owner", id, 9, 3) == ""


def made_by_another_analysis(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM library_index")
    connection.execute("INSERT INTO library_index (analysis) VALUES ('0/old')")


def test_another_analysis_has_the_index_built_again(connection: sqlite3.Connection) -> None:
    add(connection, "# One\n\nWords of one.")
    add(connection, "Words of two.")
    made_by_another_analysis(connection)
    before = search(connection, "owner", "words")
    assert begin(connection)
    assert search(connection, "owner", "words") == []
    while index_page(connection, 1):
        pass
    assert not begin(connection)
    assert search(connection, "owner", "words") == before != []


def test_an_empty_library_has_nothing_to_build_again(connection: sqlite3.Connection) -> None:
    assert not begin(connection)
    assert not index_page(connection, 10)


def indexed(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute("SELECT rowid FROM passages_fts WHERE passages_fts MATCH 'word'")
    ids = [id for (id,) in rows]
    assert len(ids) == len(set(ids))
    hits = search(connection, "owner", "word", 1000)
    assert all("word" in hit.text for hit in hits)
    return {hit.text for hit in hits}


@settings(deadline=None)
@given(data=st.data())
def test_whatever_happens_while_the_index_is_built_again_it_ends_with_every_passage_once(
    data: st.DataObject,
) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    library_tables(Database(connection))
    rebuild_tables(Database(connection))
    place_tables(Database(connection))
    kept: dict[str, set[str]] = {}
    written = 0

    def put() -> None:
        nonlocal written
        parts = data.draw(st.integers(1, 5))
        texts = [f"# Part {written + i}\n\nThe word {written + i} here." for i in range(parts)]
        written += parts
        kept[add(connection, "\n\n".join(texts)).document.id] = set(texts)

    def remove() -> None:
        if kept:
            id = data.draw(st.sampled_from(sorted(kept)))
            remove_document(connection, "owner", id)
            del kept[id]

    def put_in_turns() -> None:
        nonlocal written
        text = "\n\n".join(f"# Part {written + i}\n\nThe word {written + i}." for i in range(6))
        written += 6
        new = NewDocument("T", "s", "text/plain", text, 4, "en", text)
        prepared = prepare(new)
        number = begin_document(
            connection, user="owner", prepared=prepared, id=f"long{written}", at_ms=1
        )
        for first in range(0, 6, 2):
            append_passages(connection, "owner", number, prepared, first, first + 2)
            data.draw(st.sampled_from([lambda: None, step, put]))()
        added = complete_document(connection, "owner", number)
        kept[added.document.id] = {
            text[one.passage.start : one.passage.end] for one in prepared.passages
        }

    def step() -> None:
        index_page(connection, data.draw(st.integers(1, 3)))

    for _ in range(3):
        put()
    made_by_another_analysis(connection)
    begin(connection)
    for action in data.draw(st.lists(st.sampled_from([put, remove, put_in_turns, step, step]))):
        action()
        assert indexed(connection) <= set().union(*kept.values())
    while index_page(connection, 3):
        pass
    assert indexed(connection) == set().union(*kept.values())
    connection.execute("INSERT INTO passages_fts (passages_fts) VALUES ('integrity-check')")
    connection.close()


def test_words_that_every_passage_has_still_find_some(connection: sqlite3.Connection) -> None:
    text = "\n\n".join(f"## Part {i}\n\nAlpha beta gamma delta {i}." for i in range(9000))
    add(connection, text)
    assert len(search(connection, "owner", "alpha beta gamma delta")) == 10
    (first, *_) = search(connection, "owner", "alpha beta gamma delta 8123")
    assert first.text.endswith("delta 8123.")


def test_one_document_does_not_crowd_out_the_others(connection: sqlite3.Connection) -> None:
    add(connection, "\n\n".join(f"## Server {i}\n\nserver server" for i in range(40)))
    other = add(connection, "A server, once, among other words that say little.").document
    hits = search(connection, "owner", "server", 10)
    assert len(hits) == 10
    assert other.id in {hit.document_id for hit in hits}


def test_a_small_document_is_found_among_very_many_passages_when_a_search_keeps_to_it(
    connection: sqlite3.Connection,
) -> None:
    common = "Alpha beta gamma delta epsilon."
    before = "\n\n".join(f"## Part {i}\n\n{common} {i}." for i in range(6000))
    add(connection, before)
    small = add(connection, f"Quiet words. {common}").document
    other = add(connection, f"Other words. {common}").document
    for i in range(4):
        add(connection, before.replace("Part", f"Chapter {i}"))
    question = "alpha beta gamma delta epsilon"
    for wanted in ([small.id], [other.id, small.id], [small.id, small.id, "unknown"]):
        hits = search(connection, "owner", question, 10, documents=wanted)
        assert {hit.document_id for hit in hits} == {*wanted} - {"unknown"}
    assert search(connection, "owner", "quiet", documents=[other.id]) == []
    assert search(connection, "owner", question, documents=[]) == []
    assert search(connection, "bob", question, documents=[small.id]) == []
    add(connection, common, user="bob")
    assert search(connection, "bob", question, documents=[small.id]) == []


def test_a_search_that_keeps_to_scattered_documents_finds_in_each_of_them(
    connection: sqlite3.Connection,
) -> None:
    ids = [add(connection, f"Shared words, number {i}.").document.id for i in range(60)]
    chosen = ids[::3]
    hits = search(connection, "owner", "shared words", 60, documents=chosen)
    assert {hit.document_id for hit in hits} == set(chosen)
    remove_document(connection, "owner", chosen[0])
    hits = search(connection, "owner", "shared words", 60, documents=chosen)
    assert {hit.document_id for hit in hits} == set(chosen[1:])
