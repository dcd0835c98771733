"""Rivals: whether a text speaks of another month, day or one in a row than the question.

“The bill for August … must be paid by 14 September” has every word of “the bill for September”, and
is not about it. Where a question names one of a kind (a month, a day of the week, the second of
something), and a text names another of that kind in its place, the text answers another question.
A month with a day beside it is a date, at which something happens, and no month that something is
for.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from regend.agents.evidence.words import Word, stem, words
from regend.library.words import fold

# Each line has the forms of one of a kind, in their order.
_MONTHS = (
    "january jan जनवरी ஜனவரி",
    "february feb फ़रवरी फरवरी பிப்ரவரி",
    "march mar मार्च மார்ச்",
    "april apr अप्रैल ஏப்ரல்",
    "may मई மே",
    "june jun जून ஜூன்",
    "july jul जुलाई ஜூலை",
    "august aug अगस्त ஆகஸ்ட்",
    "september sep sept सितंबर सितम्बर செப்டம்பர்",
    "october oct अक्टूबर अक्तूबर அக்டோபர்",
    "november nov नवंबर नवम्बर நவம்பர்",
    "december dec दिसंबर दिसम्बर டிசம்பர்",
)
_WEEKDAYS = (
    "monday mondays सोमवार திங்கள்",
    "tuesday tuesdays मंगलवार செவ்வாய்",
    "wednesday wednesdays बुधवार புதன்",
    "thursday thursdays गुरुवार बृहस्पतिवार வியாழன்",
    "friday fridays शुक्रवार வெள்ளி",
    "saturday saturdays शनिवार சனி",
    "sunday sundays रविवार इतवार ஞாயிறு",
)
_ORDINALS = (
    "first 1st पहला पहली முதல்",
    "second 2nd दूसरा दूसरी दूसरे இரண்டாம்",
    "third 3rd तीसरा तीसरी तीसरे மூன்றாம்",
    "fourth 4th चौथा चौथी चौथे நான்காம்",
    "fifth 5th पाँचवाँ पाँचवीं पाँचवें ஐந்தாம்",
)

_MONTH = {fold(form): number for number, forms in enumerate(_MONTHS) for form in forms.split()}
_WEEKDAY = {fold(form): number for number, forms in enumerate(_WEEKDAYS) for form in forms.split()}
_ORDINAL = {fold(form): number for number, forms in enumerate(_ORDINALS) for form in forms.split()}


def names_another(question: str, text: str) -> bool:
    """Tell whether a text has another one of a kind in the place of the one that is asked for."""
    for named in (_months, _weekdays):
        wanted, others = set(named(question)), set(named(text))
        if wanted and others and not wanted & others:
            return True
    asked, there = list(_ordinals(question)), list(_ordinals(text))
    return any(
        any(thing == other and number != also for other, also in there)
        and (thing, number) not in there
        for thing, number in asked
    )


def _months(text: str) -> Iterator[int]:
    """Yield the months of a text that are no part of a date."""
    said = words(text)
    for place, word in enumerate(said):
        number = _MONTH.get(fold(word.text))
        beside = said[max(0, place - 1) : place + 2]
        permits = word.text == "may" or (word.text == "May" and not place)
        if number is not None and not permits and not any(map(_is_day, beside)):
            yield number


def _weekdays(text: str) -> Iterator[int]:
    plain = (fold(word.text) for word in words(text))
    return (_WEEKDAY[one] for one in plain if one in _WEEKDAY)


def _is_day(word: Word) -> bool:
    digits = word.text.rstrip("stndrh")
    return digits.isdigit() and int(digits) <= 31


def _ordinals(text: str) -> Iterator[tuple[str, int]]:
    """Yield what is counted through in a text ("quarter"), and which one is named."""
    said = words(text)
    for word, following in pairwise(said):
        number = _ORDINAL.get(fold(word.text))
        if number is not None:
            yield stem(following.text), number
