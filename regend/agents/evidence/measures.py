"""Measures: what a question wants to be told in figures, and how a text shows that it tells it.

"How far …" wants a distance: a text without one cannot be the answer, and in a text with one,
"230 km" says what "far" asks, so that the word itself need not be there. The same goes for prices,
durations, weights, dates. What is counted must stand near its number: a text about four bolts does
not tell how many fans there are.

Patterns of Indian words are without `\\b`, which does not see the end of a word with a vowel sign.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import takewhile

from regend.agents.evidence.vocabulary import NUMBER_WORDS
from regend.agents.evidence.words import RELATED, alike, is_stop_word, is_weak, stem, words

NEAR_WORDS = 3  # between a number and what it counts
MAX_COUNTED_WORDS = 3

_FIGURE = (
    r"(?:\d[\d.,–-]*|\b(?:an?|half|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
    r"|fifteen|twenty|thirty|forty|forty-five|fifty|sixty|hundred))[\s-]?"
)
_SPAN = r"(?:second|minute|min|hour|day|night|week|month|quarter|year|decade)s?\b"
_INDIAN_SPAN = (
    r"सेकंड|मिनट|घंट|दिन|हफ़्त|हफ्त|सप्ताह|महीन|माह|साल|वर्ष"
    r"|நொடி|நிமிட|மணி|நாள்|நாட்|வார|மாத|ஆண்டு|வருட"
)
_MONTH = (
    r"(?:jan|feb|mar|apr|may|june?|july?|aug|sep|oct|nov|dec)(?:[a-z]{3,6})?\b"
    r"|जनवरी|फ़रवरी|फरवरी|मार्च|अप्रैल|मई|जून|जुलाई|अगस्त|सितंबर|अक्टूबर|नवंबर|दिसंबर"
    r"|ஜனவரி|பிப்ரவரி|மார்ச்|ஏப்ரல்|மே |ஜூன்|ஜூலை|ஆகஸ்ட்|செப்டம்பர்|அக்டோபர்|நவம்பர்|டிசம்பர்"
)
_DATE = rf"\b(?:19|20)\d\d\b|\d(?:st|nd|rd|th)?\s(?:{_MONTH})|\b(?:{_MONTH})\.?\s\d|[१२][०-९]{{3}}"
_INDIAN_PHONE = r"(?:फ\u093c?ोन|\u095eोन|मोबाइल)"
_CURRENCY = r"(?:usd|eur|gbp|inr|rs|dollars?|euros?|pounds?|rupees?|lakh|crore)\b"
TIME = re.compile(
    rf"{_DATE}|{_FIGURE}{_SPAN}|{_INDIAN_SPAN}"
    r"|\b(?:mon|tues|wednes|thurs|fri|satur|sun)days?\b|\d\s?[ap]\.?m\b|\d[:.]\d\d\b|\d(?:st|nd|rd|th)\b"
    r"|\b(?:noon|midnight|morning|evening|night|today|tomorrow|daily|now|until|immediately)\b"
    r"|बजे|सुबह|शाम|रात|पहले|बाद|वार|काल|காலை|மாலை|இரவு",
    re.IGNORECASE,
)
"""A point in time or a stretch of it."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One kind of thing that can be asked for.

    Attributes:
        asked: what a question that wants it looks like.
        given: what a text that tells it looks like.
        words: stems of a question for which that is enough.
    """

    asked: re.Pattern[str]
    given: re.Pattern[str]
    words: frozenset[str]


def _measure(asked: str, given: str, said: str = "") -> Measure:
    return Measure(
        re.compile(asked, re.IGNORECASE),
        re.compile(given, re.IGNORECASE),
        frozenset(map(stem, said.split())),
    )


MEASURES = {
    "money": _measure(
        r"\bhow much\b.*\b(?:pay|paid|charge|price|fee|fine|rent|spend|spent|salary)"
        r"|\bhow expensive\b|\bcosts?\b|^\W*what\b(?! (?:happens|if|do i)).*\b(?:prices?|pay|paid"
        r"|fees?|fine|rent|salary)\b|कीमत|दाम |मूल्य|शुल्क|விலை|கட்டண",
        rf"[$€£₹¥]\s?\d|\b(?:rs\.?|inr|usd|eur|gbp) ?\d|\d\s?(?:[$€£₹¥%]|{_CURRENCY})"
        r"|\bper cent\b|\d,\d\d\d|\bfree of charge\b|\bgratis\b|\bno (?:cost|charge)\b"
        r"|रुपये|रुपए|ரூபாய்",
        "cost price fee pay charge expensive fine कीमत दाम मूल्य शुल्क விலை கட்டணம்",
    ),
    "duration": _measure(
        rf"\bhow long\b|\bhow much time\b|\bhow many {_SPAN}"
        rf"|कितन\S (?:देर|समय|{_INDIAN_SPAN})|எவ்வளவு நேர|எத்தனை (?:{_INDIAN_SPAN})",
        rf"{_FIGURE}\w*\s?{_SPAN}|{_FIGURE}(?:km|cm|m|met(?:re|er)s?)\b|{_INDIAN_SPAN}"
        r"|\b(?:always|indefinitely|forever|until|lifetime|years?)\b",
        "long time देर समय நேரம்",
    ),
    "age": _measure(
        r"\bhow old\b|\bwhat age\b",
        rf"{_FIGURE}years?\b|\b(?:born|aged|since)\b|साल|வயது",
        "old age",
    ),
    "distance": _measure(
        r"\bhow (?:far|tall|high|wide|deep)\b|कितनी दूर|எவ்வளவு தூர",
        r"\d\s?(?:(?:km|kilomet\w+|m|met(?:re|er)s?|cm|mm|miles?|feet|ft|inch\w*)\b"
        r"|किलोमीटर|கிலோமீட்டர்|மீட்டர்)",
        "far tall high wide deep distance दूर தூரம்",
    ),
    "weight": _measure(
        r"\bhow heavy\b|\bweigh|\bhow many (?:kilos?|kg|grams?)\b|वज़न|वजन|எடை",
        r"\d\s?(?:(?:kg|g|mg|grams?|kilos?|tonn?es?|lbs?|pounds?)\b|किलो|ग्राम|கிலோ|கிராம்)",
        "heavy weigh kilo वज़न எடை",
    ),
    "temperature": _measure(
        r"\bhow (?:hot|cold|warm)\b|\btemperature\b|\bhow many degrees\b|तापमान|வெப்பநிலை",
        r"\d\s?(?:°|degrees?\b|डिग्री|டிகிரி)",
        "hot cold warm temperature degree तापमान வெப்பநிலை",
    ),
    "frequency": _measure(
        r"\bhow (?:often|frequently)\b",
        r"\b(?:every|each|once|twice|times|daily|weekly|monthly|quarterly|yearly|annually|hourly"
        r"|never|always|per|a (?:day|week|month|year))\b|/ ?(?:day|week|month|year)\b|हर |रोज़|रोज",
        "often frequently",
    ),
    "count": _measure(
        r"\bhow (?:many|much|big|large|small|fast)\b|\bmax(?:imum)?\b|\bminimum\b|\blimit\b"
        r"|\b(?:larg|bigg|small|high|low|long)est\b"
        r"|\bwhat (?:size|percentage|share|number of|port)\b|कितन\S|अधिकतम|न्यूनतम|எத்தனை|எவ்வளவு",
        r"\d",
    ),
    "phone": _measure(
        r"\b(?:which|what) number\b|\bphone number\b|किस नंबर|नंबर क्या|எண் என்ன",
        r"\d{3}",
        "number phone नंबर எண்",
    ),
    "telephone": _measure(
        rf"\b(?:tele)?phone numbers?\b|\bmobile numbers?\b|{_INDIAN_PHONE} (?:का )?न(?:ं|म्)बर"
        r"|தொலைபேசி எண்",
        r"(?<![\d.,₹$€£-])(?<![₹$€£] )\+?\d(?:[\s-]?\d){5,}(?![\d,.]\d)|\b1\d{2,3}\b(?![,.]\d)",
        "phone telephone mobile number फ़ोन मोबाइल नंबर தொலைபேசி எண்",
    ),
    "version": _measure(
        r"\b(?:which|what|oldest|newest|latest|earliest|last|first) (?:\w+ ){0,2}"
        r"(?:versions?|releases?)\b|\b(?:oldest|newest|latest|earliest)\b",
        r"\d\.[\dx]",
        "version release oldest newest latest earliest",
    ),
    "date": _measure(
        r"\bwhen (?:was|were|did)\b|\b(?:what|which|in) (?:year|date)\b|\bsince when\b"
        r"|कब .*(?:था|थी|थे|हुआ|हुई|गया|गई)",
        _DATE,
        "exist year date",
    ),
}
"""What can be asked for, by name; a question may ask for several."""

_IN_UNITS = frozenset(("duration", "distance", "weight", "temperature", "frequency", "age"))
_HOW_MANY = re.compile(r"\bhow many\b|कितन\S|எத்தனை", re.IGNORECASE)


def asked_measures(question: str) -> frozenset[str]:
    """Return the names of what a question wants to be told."""
    found = {name for name, one in MEASURES.items() if one.asked.search(question)}
    return frozenset(found - {"count"} if found & _IN_UNITS else found)


def counted(question: str) -> frozenset[str]:
    """Return the stems of what a question wants counted, none where it asks for no count."""
    found = _HOW_MANY.search(question)
    after = words(question[found.end() :])[:MAX_COUNTED_WORDS] if found else []
    things = takewhile(lambda one: not is_stop_word(one.text) and not is_weak(one.text), after)
    stems = {stem(thing.text) for thing in things}
    return frozenset(stems.union(*(RELATED.get(one, ()) for one in stems)))


def tells(name: str, text: str, things: frozenset[str] = frozenset()) -> bool:
    """Tell whether a text gives a measure; a count, of one of the things where they are given."""
    if name != "count":
        return bool(MEASURES[name].given.search(text))
    said = words(text)
    numbers = (
        place
        for place, word in enumerate(said)
        if word.text.casefold() in NUMBER_WORDS or any(mark.isdigit() for mark in word.text)
    )
    return any(
        not things
        or any(
            _is_one_of(near.text, things)
            for near in said[max(0, place - NEAR_WORDS) : place + NEAR_WORDS + 1]
        )
        for place in numbers
    )


def _is_one_of(word: str, things: frozenset[str]) -> bool:
    own = stem(word)
    return own in things or any(alike(own, thing) for thing in things)
