"""Answer: the Markdown and the citations that a research job results in.

Invariants:
 1. Every sentence of a document stands in a block quote that carries its citation mark.
 2. Every sentence of a model stands under the heading that names the model, each with the mark of
    the quote that bears it out; the others are only in `unsupported`. What only repeats a quote
    word for word is not shown again.
 3. A citation's quote is the document's text at its span, unchanged.
 4. What comes near and does not answer stands below the sentence that nothing answers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from regend.agents.evidence.markdown import block_quote, escaped
from regend.agents.evidence.selection import Quote
from regend.agents.evidence.support import supported
from regend.library.passages import HEADING_SEPARATOR
from regend.library.sentences import sentences

_MARK = re.compile(r"\s*\[(\d{1,2}(?:\s*,\s*\d{1,2})*)\]")
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


def check(text: str, quotes: Sequence[Quote], *, cut: bool = False) -> Checked:
    """Hold each sentence of a model's text against the quotes.

    Args:
        text: what the model wrote.
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
        number = None if broken else _bearer(bare, _named_quotes(whole, quotes), quotes)
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
        if supported(sentence, quote.text, quote.title):
            return number
    return None


def markdown(
    quotes: Sequence[Quote], checked: Checked, model: str, missing: Sequence[str], note: str
) -> str:
    """Return the answer to show.

    Args:
        quotes: what answers, best first; at least one.
        checked: what is kept of the model's text.
        model: its name.
        missing: the parts of the question that nothing answers.
        note: a sentence on what could not be done; empty for none.
    """
    parts = _quoted(quotes)
    if missing:
        parts.append(f"**Not found**: nothing in your library answers {_listed(missing)}.")
    added = [one for one in checked.kept if not _repeats(*one, quotes)]
    if added:
        own = " ".join(f"{escaped(sentence)} [{number}]" for sentence, number in added)
        parts.append(
            f"**In the model's words** ({escaped(model)}, checked against the quotes): {own}"
        )
    if note:
        parts.append(f"*{escaped(note)}*")
    return "\n\n".join([*parts, _sources(quotes)]) + "\n"


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
    # A heading begins with that of the whole document, which often is its title.
    where = " › ".join(dict.fromkeys(filter(None, [quote.title, *quote.heading.split(" › ")])))
    return f"- [{number}] {escaped(where or quote.source)}"


def not_found(
    question: str,
    searches: Sequence[str],
    related: Sequence[Quote],
    unsaid: Sequence[str],
    note: str,
) -> str:
    """Return the Markdown that says plainly that nothing answers.

    Args:
        question: what was asked.
        searches: what was looked for.
        related: what speaks of the same.
        unsaid: words of the question that stand in nothing of it.
        note: a sentence on what could not be done; empty for none.
    """
    said = f"Nothing in your library answers “{escaped(question[:300])}”"
    if related:
        lacking = f", without {_listed(unsaid[:_SHOWN_WORDS])}" if unsaid else ""
        parts = [f"{said} in so many words.", f"What comes nearest{lacking}:", *_quoted(related)]
    else:
        parts = [f"{said}."]
        words = _listed([one for one in searches if one != question][:_SHOWN_SEARCHES])
        parts.append(f"Looked for {words}: nothing came up." if words else "Nothing came up.")
    if note:
        parts.append(f"*{escaped(note)}*")
    if related:
        parts.append(_sources(related))
    return "\n\n".join(parts) + "\n"


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
