"""Words: what is one word, and which words are the same."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regend.library.words import MAX_WORD_CHARACTERS, guess_language, question_terms, terms


@pytest.mark.parametrize(
    "sentence",
    [
        "हिन्दी में किताबें पढ़ना अच्छा लगता",
        "தமிழில் புத்தகங்கள் படிப்பது நல்லது",
        "বাংলায় বইগুলি পড়তে ভালো লাগে",
        "తెలుగులో పుస్తకాలు చదవడం మంచిది",
        "मराठीत पुस्तके वाचणे चांगले",
        "മലയാളത്തിൽ പുസ്തകങ്ങൾ വായിക്കുന്നത് നല്ലതാണ്",
        "ગુજરાતીમાં પુસ્તકો વાંચવું સારું",
        "ಕನ್ನಡದಲ್ಲಿ ಪುಸ್ತಕಗಳನ್ನು ಓದುವುದು ಒಳ್ಳೆಯದು",
        "ਪੰਜਾਬੀ ਕਿਤਾਬਾਂ ਪੜ੍ਹਨਾ ਚੰਗਾ",
    ],
)
def test_vowel_signs_do_not_split_words(sentence: str) -> None:
    assert len(terms(sentence)) == len([w for w in sentence.split() if terms(w)])
    assert all(len(terms(word)) <= 1 for word in sentence.split())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("किताब", "किताबों"), ("लड़की", "लड़कियाँ"), ("फ़ाइल", "फाइलें"),
        ("पुस्तक", "पुस्तकांमध्ये"), ("বই", "বইগুলি"), ("বাংলাদেশ", "বাংলাদেশের"),
        ("புத்தகம்", "புத்தகங்களில்"), ("పుస్తకం", "పుస్తకాలు"), ("പുസ്തകം", "പുസ്തകങ്ങൾ"),
        ("install", "installations"), ("configure", "configuration"), ("library", "libraries"),
        ("Café", "cafe"), ("ﬁle", "files"), ("१२३", "123"), ("ന്‍", "ൻ"), ("हाँ", "हां"),
        ("running", "run"), ("encryption", "encrypted"),
    ],
)  # fmt: skip
def test_forms_of_a_word_are_one_term(one: str, other: str) -> None:
    assert terms(one) == terms(other) != []


@pytest.mark.parametrize(
    ("one", "other"),
    [("की", "का"), ("मिल", "मूल"), ("कल", "काल"), ("দিন", "দান"), ("கல்", "கால்"), ("ball", "bell")],
)
def test_words_that_differ_by_a_vowel_sign_stay_different(one: str, other: str) -> None:
    assert terms(one) != terms(other) or terms(one) == []


@given(st.text())
def test_terms_are_the_same_for_composed_and_decomposed_text(text: str) -> None:
    assert terms(unicodedata.normalize("NFD", text)) == terms(unicodedata.normalize("NFC", text))


@given(st.text())
def test_terms_hold_nothing_that_the_index_could_misread(text: str) -> None:
    for term in terms(text):
        assert 0 < len(term) <= MAX_WORD_CHARACTERS
        assert not any(c.isspace() or c in '"*()^:+-\0' for c in term)
        term.encode()


def test_stop_words_go_and_question_words_stay_when_nothing_else_is_there() -> None:
    assert question_terms("What is the port of the server?") == ["port", "server"]
    assert question_terms("who?") == ["who"]
    assert question_terms("किताब का लेखक कौन है?") == [*terms("किताब"), *terms("लेखक")]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("en", "The daemon is the only process that opens the database and it holds the lock."),
        ("hi", "यह किताब दिल्ली की है और मुझे पसंद है।"),
        ("mr", "हे पुस्तक माझे आहे आणि ते मला आवडते."),
        ("ta", "இது ஒரு நல்ல புத்தகம்"),
        ("bn", "এটি একটি ভালো বই"),
        ("te", "ఇది మంచి పుస్తకం"),
        ("ml", "ഇത് നല്ല പുസ്തകമാണ്"),
        ("und", "Zażółć gęślą jaźń 12345"),
        ("und", ""),
    ],
)
def test_the_language_is_guessed(code: str, text: str) -> None:
    assert guess_language(text) == code
