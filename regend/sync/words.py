"""Invite codes, `7-mango-lantern-tiger`: a number that names the invite, and words that open it.

The words are easy to say, to hear and to spell, in India as elsewhere; three of them are 24 bits,
of which a stranger on the network can try three. Pure: randomness comes in.

Invariants
1. No two words differ by one letter only, so that no slip makes another code.
2. No two words begin with the same four letters: these are enough.
3. No word begins another, so that a code written without spaces has one reading.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import parse_qs, urlencode

from regend.errors import BadInput

_LISTED: Final = """
almond amber anchor apple autumn badger bakery balloon bamboo banana bangle banyan basket
bazaar beach beaver beetle bicycle biryani biscuit blanket bottle boulder bread breeze
bridge broom bucket buffalo bungalow butter cabbage cactus camel candle canoe cardamom
carpet carrot cashew castle cedar chai cheese cherry chutney circle clock cloud clover
coconut comet compass cookie copper coral cottage crayon cricket crystal curry curtain daisy
diwali dolphin domino dosa drawer drum duckling eagle elephant engine envelope falcon
feather flute football forest galaxy ganga garden garlic ginger giraffe glacier goat grape
guava guitar halwa hammer hedgehog helmet himalaya hockey holi honey idli igloo indigo
island jacket jaggery jalebi jasmine jelly jungle juniper kabaddi kettle kitchen kite kitten
koala kurta ladder ladybug lagoon lantern lassi lemon lentil leopard library lizard lobster
lotus ludo magenta magnet mango maple marble marigold market masala meadow melon mirror
monkey monsoon moon mosaic mountain muffin museum mushroom mustard needle neem noodle
octopus onion orange orchid oxygen pajama panda paneer papaya parsley peacock peanut pearl
pebble pencil penguin pepper piano pickle pigeon pillow pista planet potato pumpkin puppy
purple puzzle quilt rabbit raga rainbow ribbon rickshaw river robin robot rocket roti
saffron salmon samosa sandal school sesame shawl shelf shrimp silver sitar sofa sparrow
spider spinach sponge spoon spring square squirrel stamp station sugar summer sunset swan
sweater tabla tamarind tandoor teapot tennis thread thunder tiger tomato towel tractor train
triangle trumpet tulip tunnel turmeric turtle umbrella uniform valley vanilla velvet village
vinegar violin volcano waffle wagon walnut walrus whistle window winter wolf yellow zebra
zipper
"""
WORDS: Final = tuple(_LISTED.split())
CODE_WORDS: Final = 3
CODE_BYTES: Final = CODE_WORDS  # of randomness: one word of 256 for each
LARGEST_NUMBER: Final = 999

_BEGINNING: Final = 4
_LINK: Final = "regend://join"
_LINK_ADDRESSES: Final = 3  # a code that is small enough to be read from a poor screen
_TYPED_CHARACTERS: Final = 200
_SHOWN_CHARACTERS: Final = 20  # of a word that is none
_KNOWN: Final = frozenset(WORDS)
_BY_BEGINNING: Final = {word[:_BEGINNING]: word for word in WORDS}
_TYPED: Final = re.compile(r"\W*(\d{1,9})(\D.*)", re.DOTALL)
_SEPARATORS: Final = re.compile(r"[\s\-‐‑‒–—−_.,:;/+]+")


class InviteCode(NamedTuple):
    """A code, which `str` writes as people are shown it.

    Attributes:
        number: names the invite; no secret.
        words: the secret.
    """

    number: int
    words: tuple[str, ...]

    def __str__(self) -> str:
        return "-".join((str(self.number), *self.words))


def make(number: int, entropy: bytes) -> InviteCode:
    """Return a fresh code.

    Args:
        number: from 1 to `LARGEST_NUMBER`.
        entropy: `CODE_BYTES` random bytes.
    """
    assert 0 < number <= LARGEST_NUMBER and len(entropy) == CODE_BYTES
    return InviteCode(number, tuple(WORDS[byte] for byte in entropy))


def parse(text: str) -> InviteCode:
    """Return the code that a person typed, whatever its case and what parts its words.

    Raises:
        BadInput: it is none; the message names the word at fault and what it may have been.
    """
    plain = unicodedata.normalize("NFKC", text[:_TYPED_CHARACTERS]).casefold().strip()
    typed = _TYPED.fullmatch(plain)
    if not typed or not 0 < int(typed[1]) <= LARGEST_NUMBER:
        raise _incomplete()
    pieces = [piece for piece in _SEPARATORS.split(typed[2]) if piece]
    words = _cut("".join(pieces))
    if len(words) != CODE_WORDS or not _KNOWN.issuperset(words):
        if len(pieces) != CODE_WORDS:
            pieces = [part for piece in pieces for part in _cut(piece)]
        words = [_known(piece) for piece in pieces]
    if len(words) != CODE_WORDS:
        raise _incomplete()
    return InviteCode(int(typed[1]), tuple(words))


def link(code: str, addresses: Sequence[str]) -> str:
    """Return what a QR code says of an invite: the code, and where the device is that shows it."""
    at = [("at", one) for one in addresses[:_LINK_ADDRESSES]]
    return f"{_LINK}?{urlencode([('code', code), *at])}"


def of_link(text: str) -> tuple[str, list[str]]:
    """Return the code and the addresses that such a link holds; of any other text, that itself."""
    scheme, _, said = text.strip().partition("?")
    if scheme.casefold() != _LINK:
        return text, []
    values = parse_qs(said)
    return values.get("code", [""])[0], values.get("at", [])[:_LINK_ADDRESSES]


def _cut(text: str) -> list[str]:
    """Return the words that a text is made of without spaces, and what is left (invariant 3)."""
    words = []
    while word := _BY_BEGINNING.get(text[:_BEGINNING]):
        if not text.startswith(word):
            break
        words.append(word)
        text = text.removeprefix(word)
    return [*words, text] if text else words


def _known(piece: str) -> str:
    """Return the word that a piece is or begins (invariant 2)."""
    word = _BY_BEGINNING.get(piece[:_BEGINNING], "")
    if word.startswith(piece) and len(piece) >= _BEGINNING:
        return word
    shown = piece[:_SHOWN_CHARACTERS]
    nearest = min(WORDS, key=lambda word: (_distance(word, shown), word))
    raise BadInput(
        "code_word_unknown",
        f"“{shown}” is not a word of an invite code; the nearest is “{nearest}”.",
        hint="Read the code again on the device that shows it. No try was used up.",
        field="code",
    )


def _distance(one: str, other: str) -> int:
    """Return how many letters must be changed, added or left out (Levenshtein)."""
    before = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        now = [row]
        for column, opposite in enumerate(other, 1):
            swap = before[column - 1] + (letter != opposite)
            now.append(min(before[column] + 1, now[-1] + 1, swap))
        before = now
    return before[-1]


def _incomplete() -> BadInput:
    return BadInput(
        "code_incomplete",
        "An invite code is a number and three words, such as 7-mango-lantern-tiger.",
        hint="Read it on the device that shows it, or get a new one: regend devices invite",
        field="code",
    )
