"""Answer: the Markdown and the citations that a research job results in.

Invariants:
 1. Every sentence of a document stands in a block quote that carries its citation mark.
 2. Every sentence of a model stands under the heading that names the model, each with the mark of
    the quote that bears it out; the others are only in `unsupported`. What only repeats a quote
    word for word is not shown again.
 3. A citation's quote is the document's text at its span, unchanged.
 4. What comes near and does not answer stands below the sentence that nothing answers, or, where
    something else answers, below the words that it only comes near.
 5. No sentence of a model is kept that asks, or only repeats the question.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from regend.agents.evidence.cues import asks
from regend.agents.evidence.markdown import block_quote, escaped
from regend.agents.evidence.question import only_repeats
from regend.agents.evidence.selection import Quote
from regend.agents.evidence.support import supported
from regend.library.passages import HEADING_SEPARATOR
from regend.library.sentences import sentences

_MARK = re.compile(r"\s*\[(\d{1,2}(?:\s*,\s*\d{1,2})*)\]")
_NEAR = "**Related**: this comes near, and may be about something else:"
_OWN_LANGUAGE = "A question is looked for in its own language; your documents may have another."
_SHOWN_WORDS = 5  # of those that were not found
_SHOWN_SEARCHES = 3  # named where nothing came up
_SENTENCE_END = (".", "!", "?", "।", "॥", "…", "”", '"', ")")


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of a model's text.

    Attributes:
        kept: sentences that a quote bears out, each with the number of that quote.
        unsupported: the others.
    """

    kept: tuple[tuple[str, int], ...]
    unsupported: tuple[str, ...]


def check(text: str, quotes: Sequence[Quote], *, question: str = "", cut: bool = False) -> Checked:
    """Hold each sentence of a model's text against the quotes.

    Args:
        text: what the model wrote.
        question: what it was asked.
        quotes: what it was given, numbered from 1.
        cut: whether it was stopped in mid-sentence by its bound.
    """
    kept: list[tuple[str, int]] = []
    unsupported: list[str] = []
    spans = sentences(text)
    for place, (start, end) in enumerate(spans):
        whole = text[start:end]
        bare = " ".join(_MARK.sub("", whole).split())
        if not bare or any(bare == other for other, _ in kept) or bare in unsupported:
            continue  # a small model repeats itself
        broken = cut and place == len(spans) - 1 and not whole.rstrip().endswith(_SENTENCE_END)
        empty = broken or asks(bare) or only_repeats(bare, question)
        number = None if empty else _bearer(bare, _named_quotes(whole, quotes), quotes)
        if number is None:
            unsupported.append(bare)
        else:
            kept.append((bare, number))
    return Checked(tuple(kept), tuple(unsupported))


def _named_quotes(sentence: str, quotes: Sequence[Quote]) -> list[int]:
    """Return the numbers of quotes, those that the sentence itself cites first."""
    cited = [int(one) for found in _MARK.findall(sentence) for one in found.split(",")]
    known = range(1, len(quotes) + 1)
    return list(dict.fromkeys([*(one for one in cited if one in known), *known]))


def _bearer(sentence: str, numbers: Sequence[int], quotes: Sequence[Quote]) -> int | None:
    for number in numbers:
        quote = quotes[number - 1]
        if supported(sentence, quote.text):
            return number
    return None


def markdown(
    quotes: Sequence[Quote],
    checked: Checked,
    model: str,
    missing: Sequence[str],
    notes: Sequence[str] = (),
) -> str:
    """Return the answer to show.

    Args:
        quotes: what answers, best first, at least one; then what only comes near.
        checked: what is kept of the model's text.
        model: its name.
        missing: the parts of the question that nothing answers.
        notes: sentences on what was not done, or could not be.
    """
    numbered = list(enumerate(quotes, 1))
    parts = [_shown(number, quote) for number, quote in numbered if not quote.near]
    if missing:
        parts.append(f"**Not found** in so many words: {_listed(missing)}.")
    added = [one for one in checked.kept if not _repeats(*one, quotes)]
    if added:
        own = " ".join(f"{escaped(sentence)} [{number}]" for sentence, number in added)
        parts.append(
            f"**In the model's words** ({escaped(model)}, checked against the quotes): {own}"
        )
    near = [_shown(number, quote) for number, quote in numbered if quote.near]
    parts += [_NEAR, *near] if near else []
    return "\n\n".join([*parts, *map(_note, notes), _sources(quotes)]) + "\n"


def _repeats(sentence: str, number: int, quotes: Sequence[Quote]) -> bool:
    """Tell whether a sentence stands word for word in the quote that bears it out."""
    plain, quoted = (" ".join(text.split()) for text in (sentence, quotes[number - 1].text))
    return plain.casefold() in quoted.casefold()


def _quoted(quotes: Sequence[Quote]) -> list[str]:
    return [_shown(number, quote) for number, quote in enumerate(quotes, 1)]


def _shown(number: int, quote: Quote) -> str:
    quoted = block_quote(quote.text, f"[{number}]")
    own = quote.heading.rpartition(HEADING_SEPARATOR)[2]
    return f"> **{escaped(own)}**\n>\n{quoted}" if quote.headed else quoted


def _sources(quotes: Sequence[Quote]) -> str:
    return "\n".join(["**Sources**", "", *map(_source_line, range(1, len(quotes) + 1), quotes)])


def _source_line(number: int, quote: Quote) -> str:
    """Return where a quote stands: its title and headings, its file, and the place in it."""
    # A heading begins with that of the whole document, which often is its title.
    headings = quote.heading.split(HEADING_SEPARATOR)
    where = HEADING_SEPARATOR.join(dict.fromkeys(filter(None, [quote.title, *headings])))
    place = f"characters {quote.start}–{quote.end}"
    told = dict.fromkeys(filter(None, [where, quote.source, place]))
    return f"- [{number}] {' · '.join(map(escaped, told))}"


def not_found(
    question: str,
    searches: Sequence[str],
    passages: int,
    related: Sequence[Quote],
    unsaid: Sequence[str],
    notes: Sequence[str] = (),
) -> str:
    """Return the Markdown that says plainly that nothing answers.

    Args:
        question: what was asked.
        searches: what was looked for.
        passages: how many passages that found.
        related: what speaks of the same.
        unsaid: words of the question that stand in nothing of it.
        notes: sentences on what was not done, or could not be.
    """
    said = f"Nothing in your library answers “{escaped(question[:300])}”"
    if related:
        lacking = f", without {_listed(unsaid[:_SHOWN_WORDS])}" if unsaid else ""
        parts = [f"{said} in so many words.", f"What comes nearest{lacking}:", *_quoted(related)]
    else:
        words = _listed([one for one in searches if one != question][:_SHOWN_SEARCHES])
        parts = [
            f"{said}.",
            f"{f'Looked for {words}' if words else 'Looked'}: {_came_up(passages)}",
        ]
        parts += [] if question.isascii() or passages else [_OWN_LANGUAGE]
    sources = [_sources(related)] if related else []
    return "\n\n".join([*parts, *map(_note, notes), *sources]) + "\n"


def _came_up(passages: int) -> str:
    if not passages:
        return "nothing came up."
    many = "one passage" if passages == 1 else f"{passages} passages"
    return f"{many} came up, and what {'it says' if passages == 1 else 'they say'} is no answer."


def _note(text: str) -> str:
    return f"*{escaped(text)}*"


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(f"“{escaped(text[:100])}”" for text in texts)


def citation(number: int, quote: Quote) -> dict[str, Any]:
    """Return a citation as results carry it."""
    return {
        "n": number,
        "document_id": quote.document_id,
        "title": quote.title,
        "source": quote.source,
        "span": [quote.start, quote.end],
        "quote": quote.text,
    }
