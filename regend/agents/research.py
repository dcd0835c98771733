"""Research: an answer made of what the user's own documents say, with citations.

Durable steps: plan (which searches), search, read (which sentences answer), fetch (only where the
job may go online and there is something to fetch), prompt, write (the model), verify. The answer is
extractive first: it stands without any model, and what a model writes is shown only sentence by
sentence where a quote bears it out (`evidence.support`), marked as the model's. A question that
asks twice is answered part by part, and the part that nothing answers is named. Where nothing
answers at all, the result says so first and shows, as what comes nearest, what has most of the
question's words, and which of them it lacks; a model is not asked then. What only comes near beside
an answer is told apart from it too, and not given to the model. Where it was allowed to look
online, the answer says whether it did.

`depth` says how much is tried: "quick" makes fewer searches and asks no model, "normal" is the
default, "deep" searches for each name by itself, reads more documents and quotes more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from regend.agents.context import Context, Generated
from regend.agents.evidence.answer import Checked, check, citation, markdown, not_found
from regend.agents.evidence.pieces import Piece
from regend.agents.evidence.prompt import ANSWER_TOKENS, messages
from regend.agents.evidence.question import parts, queries
from regend.agents.evidence.reading import Spans, documents_to_read, windows
from regend.agents.evidence.selection import Quote, choose
from regend.agents.evidence.spelling import respelled
from regend.errors import BadInput, NotFound, RegendError
from regend.events import SEARCH_RESULT

SHOWN_HITS = 5  # of each search, in its event
SHOWN_CHARACTERS = 400  # of each passage, in the event
MAX_FETCHES = 3  # pages that one job fetches

_URL = re.compile(r"https?://[^\s<>\"'`)\]}]+")


@dataclass(frozen=True, slots=True)
class Depth:
    """How much is tried: searches, hits of each, documents read, quotes, and whether a model."""

    searches: int
    hits: int
    documents: int
    quotes: int
    model: bool


DEPTHS = {
    "quick": Depth(searches=3, hits=24, documents=4, quotes=4, model=False),
    "normal": Depth(searches=4, hits=32, documents=6, quotes=5, model=True),
    "deep": Depth(searches=8, hits=48, documents=14, quotes=6, model=True),
}


def run(context: Context) -> dict[str, Any]:
    """Answer `input.question` from the library.

    Input: `question`; `sources`, ids of the documents to keep to (and, online, addresses to fetch
    first); `online`, whether pages may be fetched; `depth`, a key of `DEPTHS`.

    Returns:
        `{answer, citations, unsupported, searched, unreadable}` as in the outside contract.

    Raises:
        BadInput: the question is empty or the depth unknown.
    """
    question = str(context.input.get("question", "")).strip()
    depth = DEPTHS.get(context.input.get("depth", "normal"))
    if not question or depth is None:
        wrong = "question" if not question else "depth"
        raise BadInput(
            "invalid_field", f"“input.{wrong}” is empty or unknown.", field=f"input.{wrong}"
        )
    return _Research(context, question, depth).run()


class _Research:
    """One research job; each method is a stage, and what it returns is recorded."""

    def __init__(self, context: Context, question: str, depth: Depth) -> None:
        self.context = context
        self.question = question
        self.asked = parts(question)
        self.depth = depth
        self.online = context.input.get("online") is True
        self.sources = [str(source) for source in context.input.get("sources") or []]
        self.unreadable: list[dict[str, Any]] = []
        self.tried: int = 0  # pages that were asked for
        self.fetched: int = 0  # pages that were read

    def run(self) -> dict[str, Any]:
        context = self.context
        context.progress(2, "planning")
        searches = context.step("plan", self.plan)
        wanted = [*filter(_is_url, self.sources), *_URL.findall(self.question)]
        sources = [source for source in self.sources if not _is_url(source)]
        if self.online and wanted:
            sources += self._fetched("fetch", wanted)
        context.progress(10, "searching")
        found = context.step("search", self.search, searches, sources)
        context.progress(25, "reading")
        read = context.step("read", self.read, found["hits"])
        if self.online and read["links"]:
            fetched = self._fetched("fetch links", read["links"])
            if fetched:
                found = context.step(
                    "search again", self.search, searches, sources and sources + fetched
                )
                read = context.step("read again", self.read, found["hits"])
        # What an earlier version read answers where there are quotes at all.
        read = {"answers": bool(read["quotes"]), "missing": [], "unsaid": [], "respelt": [], **read}
        quotes = [Quote.from_dict(body) for body in read["quotes"]]
        context.progress(45, "writing" if read["answers"] else "finishing")
        answering = [quote for quote in quotes if read["answers"] and not quote.near]
        written, note = self.write(answering)
        # Without arguments, so that a model that is back after a restart does not change the step.
        checked = context.step("verify", lambda: self.verify(answering, written))
        listed = {one["source"] for one in found["unreadable"]}
        fresh = [one for one in self.unreadable if one["source"] not in listed]
        self.unreadable = found["unreadable"] + fresh
        read_as = [f"Read “{typed}” as “{meant}”." for typed, meant in read["respelt"]]
        notes = [*filter(None, [*read_as, note, self._looked_online(bool(read["answers"]))])]
        return self.result(read, quotes, checked, notes, found)

    def plan(self) -> list[str]:
        """Return the searches to make."""
        planned = queries(self.asked, deep=self.depth is DEPTHS["deep"])
        return (planned or [self.question])[: self.depth.searches]

    def search(self, searches: list[str], sources: list[str]) -> dict[str, Any]:
        """Make the searches, showing each one's best passages as soon as they are found."""
        hits: list[dict[str, Any]] = []
        searched: list[dict[str, Any]] = []
        for place, query in enumerate(searches):
            scope = {"sources": sources} if sources else {}
            found = self.context.call(
                "library.search", question=query, limit=self.depth.hits, **scope
            )
            self.context.emit(
                SEARCH_RESULT,
                {"query": query, "hits": [_shown(hit) for hit in found[:SHOWN_HITS]]},
            )
            searched.append({"query": query, "hits": len(found)})
            hits += [_kept(hit, place, rank) for rank, hit in enumerate(found)]
        unreadable = self.context.call("library.unreadable")
        return {"hits": hits, "searched": searched, "unreadable": list(unreadable)}

    def read(self, hits: list[dict[str, Any]]) -> dict[str, Any]:
        """Read around what was found; choose the quotes that answer, or what comes near."""
        wanted = documents_to_read(self.asked, hits, self.depth.documents)
        pieces = [piece for own in wanted for piece in self._pieces(own)]
        meant, respelt = respelled(self.question, (piece.text for piece in pieces))
        choice = choose(parts(meant) if respelt else self.asked, pieces, self.depth.quotes)
        if choice.answers:
            shown = [_shown(_as_hit(quote)) for quote in choice.quotes]
            self.context.emit(
                SEARCH_RESULT, {"query": self.question, "hits": shown, "chosen": True}
            )
        return {
            "quotes": [quote.to_dict() for quote in choice.quotes],
            "answers": choice.answers,
            "missing": list(choice.missing),
            "unsaid": list(choice.unsaid),
            "respelt": [list(pair) for pair in respelt],
            "links": _links(pieces) if self.online and not choice.answers else [],
        }

    def _pieces(self, hits: Sequence[dict[str, Any]]) -> Iterable[Piece]:
        first = hits[0]

        def text(start: int, end: int) -> str:
            document = first["document_id"]
            return str(
                self.context.call("library.text", document_id=document, start=start, end=end)
            )

        headings = tuple((*hit["span"], hit["heading"]) for hit in hits)
        spans: Spans = [(hit["span"][0], hit["span"][1]) for hit in hits]
        try:
            parts = list(windows(spans, text))
        except NotFound:
            return  # removed since the search
        for start, part in parts:
            yield Piece(
                first["document_id"], first["title"], first["source"], start, part, headings
            )

    def _fetched(self, name: str, urls: Sequence[str]) -> list[str]:
        """Fetch pages into the library, as a step; return the ids of their documents."""
        unique = list(dict.fromkeys(url.rstrip(".,;:!?") for url in urls))[:MAX_FETCHES]
        self.context.progress(8, f"fetching {len(unique)} pages")
        outcome = self.context.step(name, self.fetch, unique)
        self.unreadable += outcome["unreadable"]
        self.tried += len(unique)
        self.fetched += len(outcome["documents"])
        return list(outcome["documents"])

    def fetch(self, urls: list[str]) -> dict[str, Any]:
        """Fetch each page; one that cannot be had is listed with the reason."""
        documents: list[str] = []
        unreadable: list[dict[str, Any]] = []
        for url in urls:
            try:
                document = self.context.call("library.fetch", url=url)
            except RegendError as error:
                unreadable.append({"source": url, "reason": error.message})
            else:
                documents.append(document["document_id"])
        return {"documents": documents, "unreadable": unreadable}

    def _looked_online(self, answers: bool) -> str:
        """Return a sentence on whether it looked online and why not; none where it might not."""
        if not self.online:
            return ""
        if self.tried:
            pages = "one page" if self.tried == 1 else f"{self.tried} pages"
            return f"Looked online: {pages} asked for, {self.fetched} read."
        if answers:
            return "Did not look online: your library answers, and the question names no address."
        return (
            "Did not look online: neither the question nor the documents that come nearest name an"
            " address, and there is no search of the web."
        )

    def write(self, quotes: Sequence[Quote]) -> tuple[dict[str, Any], str]:
        """Let the model answer from the quotes; return what it wrote, and why where it did not."""
        if not quotes or not self.depth.model:
            return {"text": "", "cut": False}, ""
        prompt = self.context.step("prompt", self.prompt, [quote.to_dict() for quote in quotes])
        if not prompt["messages"]:
            return {"text": "", "cut": False}, prompt["note"]
        self.context.progress(50, "the model writes")
        try:
            # A penalty would keep the model from the words of the quotes, which bear it out.
            written = self.context.generate(
                "write",
                messages=prompt["messages"],
                max_tokens=ANSWER_TOKENS,
                temperature=0.0,
                repeat_penalty=1.0,
                stop_repeating=True,
            )
        except RegendError as error:
            if error.retryable:
                raise
            return {"text": "", "cut": False}, _without_model(error)
        return _written(written), ""

    def prompt(self, quotes: list[dict[str, Any]]) -> dict[str, Any]:
        """Build the prompt, or say why there is none."""
        try:
            built = messages(
                self.question, [Quote.from_dict(body) for body in quotes], self.context.count_tokens
            )
        except RegendError as error:
            if error.retryable:
                raise
            return {"messages": [], "note": _without_model(error)}
        note = "" if built else "The quotes are too long for the model, so it was not asked."
        return {"messages": built, "note": note}

    def verify(self, quotes: Sequence[Quote], written: dict[str, Any]) -> dict[str, Any]:
        """Hold each sentence of the model against the quotes."""
        checked = check(written["text"], quotes, question=self.question, cut=written["cut"])
        return {"kept": [list(one) for one in checked.kept], "unsupported": [*checked.unsupported]}

    def result(
        self,
        read: dict[str, Any],
        quotes: Sequence[Quote],
        verified: dict[str, Any],
        notes: Sequence[str],
        found: dict[str, Any],
    ) -> dict[str, Any]:
        """Put the answer together."""
        kept = tuple((str(sentence), int(number)) for sentence, number in verified["kept"])
        checked = Checked(kept, tuple(verified["unsupported"]))
        if read["answers"]:
            model = self.context.model or "the default model"
            answer = markdown(quotes, checked, model, read["missing"], notes)
        else:
            searches = [str(one["query"]) for one in found["searched"]]
            passages = len({(hit["document_id"], *hit["span"]) for hit in found["hits"]})
            answer = not_found(self.question, searches, passages, quotes, read["unsaid"], notes)
        self.context.progress(100, "done")
        return {
            "answer": answer,
            "citations": [citation(number, quote) for number, quote in enumerate(quotes, 1)],
            "unsupported": list(checked.unsupported),
            "searched": found["searched"],
            "unreadable": self.unreadable,
        }


def _is_url(source: str) -> bool:
    return source.startswith(("http://", "https://"))


def _kept(hit: dict[str, Any], search: int, rank: int) -> dict[str, Any]:
    """Return what later steps need of a hit; its text is read again where it is wanted."""
    fields = ("document_id", "title", "source", "heading")
    return {
        **{field: str(hit.get(field) or "") for field in fields},
        "span": [int(hit["span"][0]), int(hit["span"][1])],
        "search": search,
        "rank": rank,
    }


def _shown(hit: dict[str, Any]) -> dict[str, Any]:
    """Return a hit as events carry it."""
    fields = ("document_id", "title", "source", "heading", "span", "score")
    return {field: hit.get(field) for field in fields} | {"text": hit["text"][:SHOWN_CHARACTERS]}


def _as_hit(quote: Quote) -> dict[str, Any]:
    return quote.to_dict() | {"span": [quote.start, quote.end]}


def _links(pieces: Iterable[Piece]) -> list[str]:
    """Return the addresses in what was read, first those that stand first."""
    found = (url.rstrip(".,;:!?") for piece in pieces for url in _URL.findall(piece.text))
    return list(dict.fromkeys(found))[:MAX_FETCHES]


def _written(generated: Generated) -> dict[str, Any]:
    return {"text": generated.text, "cut": generated.finish_reason == "length"}


def _without_model(error: RegendError) -> str:
    said = f"The model did not take part ({error.message.rstrip('.')}); these are the quotes alone."
    return f"{said} {error.hint}".rstrip()
