"""Text to words: the one analysis that index, questions and agents share.

SQLite's own tokenizers split Indian words at their vowel signs (they are marks, not letters) and
know no Indian stems. So the analysis happens here: words are folded, stop words dropped, the rest
stemmed, and FTS5 is given the result with its `ascii` tokenizer, which takes every non-ASCII
character as part of a word. What it makes does not depend on the SQLite of the machine, and
because stop words never reach the index, importing is faster than with FTS5's `porter unicode61`.

Folding is NFKC (so that ligatures of PDFs are letters), lower case, without Latin accents, joiners
and nukta, with Indian digits as ASCII ones.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import Final

from regend.library.stems import english_stem, indian_stem
from regend.library.stopwords import INDEX_STOP_WORDS, QUESTION_STOP_WORDS, word_set

# The index is built again when this changes; it includes Python's Unicode tables.
ANALYSIS: Final = f"1/{unicodedata.unidata_version}"

MAX_WORD_CHARACTERS: Final = (
    64  # longer runs are data, not words; they are told apart by their head
)
_CACHED_WORDS: Final = 200_000  # about 30 MB; a library's vocabulary is smaller


def _marks() -> str:
    """Return the body of a character class with every combining mark of the scripts in use."""
    spans = ((0x0300, 0x1E00), (0x20D0, 0x2100), (0xA800, 0xAC00), (0xFE20, 0xFE30))
    points = [p for low, high in spans for p in range(low, high)]
    return "".join(chr(p) for p in points if unicodedata.category(chr(p)) in ("Mn", "Mc"))


WORD_CHARACTERS: Final = r"\w" + _marks() + "\u200c\u200d"
# One table that lowers letters and blanks what is no letter or digit: faster than a pattern.
_ASCII_WORDS: Final = {
    point: chr(point).lower() if chr(point).isalnum() else " " for point in range(128)
}
_WORD = re.compile(f"[{WORD_CHARACTERS}]+")
_ACCENTED = re.compile("[\u00c0-\u024f\u0300-\u036f\u1e00-\u1eff]")
_ACCENT = re.compile("[\u0300-\u036f]")
# Before Unicode 5.1 Malayalam wrote these final consonants with a joiner.
_OLD_CHILLU = re.compile("[\u0d23\u0d28\u0d30\u0d32\u0d33\u0d15]\u0d4d\u200d")
_CHILLU = dict(
    zip("\u0d23\u0d28\u0d30\u0d32\u0d33\u0d15", "\u0d7a\u0d7b\u0d7c\u0d7d\u0d7e\u0d7f", strict=True)
)
_FOLDS: Final[dict[str, str]] = {
    **dict.fromkeys("\u00ad\u200b\u200c\u200d\u2060\ufeff", ""),
    **dict.fromkeys("\u093c\u0a3c\u0abc", ""),
    "\u0901": "\u0902",
    "_": " ",
    **{
        chr(zero + digit): str(digit)
        for zero in range(0x0966, 0x0DF0, 0x80)
        if unicodedata.decimal(chr(zero), None) == 0
        for digit in range(10)
    },
}

_FOLDED = re.compile(f"[{''.join(_FOLDS)}]")


def fold(text: str) -> str:
    """Return the text with the differences removed that readers do not see as other words."""
    if text.isascii():
        return text.lower().replace("_", " ")
    folded = unicodedata.normalize("NFKC", text).lower()
    if "\u200d" in folded:
        folded = _OLD_CHILLU.sub(lambda match: _CHILLU[match[0][0]], folded)
    if _ACCENTED.search(folded):
        bare = _ACCENT.sub("", unicodedata.normalize("NFD", folded))
        folded = unicodedata.normalize("NFC", bare)
    return _FOLDED.sub(lambda match: _FOLDS[match[0]], folded)


def split_words(text: str) -> list[str]:
    """Return the folded words of a text in order, stop words included."""
    if text.isascii():
        return text.translate(_ASCII_WORDS).split()
    return _WORD.findall(fold(text))


class _StemCache(dict[str, str]):
    """Stems of the words met so far; emptied when full, which costs no more than time."""

    def __missing__(self, word: str) -> str:
        if len(self) >= _CACHED_WORDS:
            self.clear()
        stem = _stem(word)
        self[word] = stem
        return stem


def _stem(word: str) -> str:
    if word in INDEX_STOP_WORDS:
        return ""
    cut = word[:MAX_WORD_CHARACTERS]
    return english_stem(cut) if cut.isascii() else indian_stem(cut)


_STEMS = _StemCache()


def terms(text: str) -> list[str]:
    """Return the stems of a text in order, without stop words: what the index holds of it.

    A term has no blank in it, so the terms joined by blanks are what FTS5 is given.
    """
    return list(filter(None, map(_STEMS.__getitem__, split_words(text))))


def question_terms(question: str) -> list[str]:
    """Return the distinct terms that a question asks for, in order.

    Question words go too, unless nothing else is left.
    """
    words = split_words(question)
    telling = [word for word in words if word not in QUESTION_STOP_WORDS]
    stems = map(_STEMS.__getitem__, telling or words)
    return list(dict.fromkeys(stem for stem in stems if stem))


_SCRIPTS: Final = (
    ("hi", 0x0900, 0x0980),
    ("bn", 0x0980, 0x0A00),
    ("pa", 0x0A00, 0x0A80),
    ("gu", 0x0A80, 0x0B00),
    ("or", 0x0B00, 0x0B80),
    ("ta", 0x0B80, 0x0C00),
    ("te", 0x0C00, 0x0C80),
    ("kn", 0x0C80, 0x0D00),
    ("ml", 0x0D00, 0x0D80),
)
_MARATHI = word_set("आहे आहेत आणि नाही होते होता या ते मध्ये")
_ENGLISH = word_set("the of and to in is for that with are this")
_GUESS_CHARACTERS = 5000


def guess_language(text: str) -> str:
    """Return the likely BCP 47 code of a text's language, `und` where it cannot be told.

    Indian languages go by their script (Marathi and Hindi by their commonest words), English by
    its own; the first 5,000 characters decide.
    """
    sample = text[:_GUESS_CHARACTERS]
    if not sample.isascii():
        counted = Counter(sample)
        letters = {ord(sign): count for sign, count in counted.items() if sign.isalpha()}
        total = sum(letters.values())
        for code, low, high in _SCRIPTS:
            own = sum(count for point, count in letters.items() if low <= point < high)
            if own * 2 > total:
                return _hindi_or_marathi(sample) if code == "hi" else code
    words = split_words(sample)
    common = sum(word in _ENGLISH for word in words)
    return "en" if words and common * 12 >= len(words) else "und"


def _hindi_or_marathi(sample: str) -> str:
    words = split_words(sample)
    marathi = sum(word in _MARATHI for word in words)
    hindi = sum(word in {"है", "हैं", "का", "की", "के", "में", "और", "से"} for word in words)
    return "mr" if marathi > hindi else "hi"
