"""What research reaches on README texts and on the papers of a household.

Run as `python -m tests.bench research --split NAME [--depth NAME] [--model] [--failures]`; the
splits are told in `tests.agents.questions`. Beside research runs a baseline on the same texts: the
three best passages of plain BM25 (SQLite's own, tokenizer `porter unicode61`) shown whole, refused
only where nothing matches.

A document is right where the one that has the answer is among those cited; a fact is there where
one of its accepted texts is in what is shown, without the list of sources (for a question of two
parts, one of each, or the word of what was not found). Both are told apart by whether they are
shown as the answer, or below the sentence that says that it is only related. A
question is refused where that sentence stands first.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regend.agents.evidence.prompt import ANSWER_TOKENS
from regend.agents.evidence.support import supported
from regend.agents.research import run
from regend.clock import SystemClock
from regend.config import Config, ModelsConfig
from regend.events import SEARCH_RESULT
from regend.home import Home
from regend.library.passages import split
from regend.library.words import split_words
from regend.models.generation import GenerationRequest, count_tokens, generate
from regend.models.lease import Lease
from regend.models.pool import ModelPool
from tests.agents.inprocess import InProcess, Library
from tests.agents.questions import SPLITS, documents, questions, states, title
from tests.embedded_model import MODEL, embedded_model_home

_BASELINE_PASSAGES = 3
_REFUSAL = "Nothing in your library answers"
_UNANSWERED = "**Not found**"
_RELATED = "**Related**"


@dataclass
class Figures:
    """What one run over a set of questions came to."""

    asked: int = 0
    right_document: int = 0
    first_document: int = 0
    fact: int = 0
    plain_document: int = 0
    plain_fact: int = 0
    unanswerable: int = 0
    refused: int = 0
    untrue_quotes: int = 0
    unmarked: int = 0
    model_sentences: int = 0
    held_back: int = 0
    characters: list[int] = field(default_factory=list)
    first_passage_ms: list[float] = field(default_factory=list)
    answer_ms: list[float] = field(default_factory=list)

    def line(self, name: str) -> str:
        """Return the figures of a split as one line."""
        return (
            f"{name:<20} document {_share(self.right_document, self.asked)}"
            f"  (as the answer {_share(self.plain_document, self.asked)},"
            f" first cited {_share(self.first_document, self.asked)})"
            f"  fact {_share(self.fact, self.asked)}"
            f"  (as the answer {_share(self.plain_fact, self.asked)})"
            f"  refused {_share(self.refused, self.unanswerable)}"
            f"  answer {statistics.median(self.characters or [0]):.0f} characters"
        )


def _share(part: int, whole: int) -> str:
    return f"{part}/{whole} = {100 * part / whole:.1f} %" if whole else "–"


def main(argv: list[str]) -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench research")
    parser.add_argument("--split", choices=tuple(SPLITS), default="tune")
    parser.add_argument(
        "--depth", choices=("quick", "normal", "deep"), help="normal with --model, else quick"
    )
    parser.add_argument(
        "--failures", action="store_true", help="show those, but never of a final split"
    )
    parser.add_argument("--model", action="store_true", help="let the embedded model write too")
    parser.add_argument("--first", type=int, default=1000, help="only so many")
    options = parser.parse_args(argv)
    if options.depth is None:
        options.depth = "normal" if options.model else "quick"  # "quick" asks no model
    with tempfile.TemporaryDirectory(prefix="regend-bench-") as folder:
        if options.model:
            home = embedded_model_home(Home.at(Path(folder) / "home"))
            asyncio.run(_with_model(options, Path(folder), home))
        else:
            _measure(options, Path(folder), None)


async def _with_model(options: argparse.Namespace, folder: Path, home: Home) -> None:
    """Measure with a real host of the embedded model."""
    pool = ModelPool(home, Config(models=ModelsConfig(discover=False)), SystemClock())
    try:
        lease = await pool.acquire(MODEL)
        await asyncio.to_thread(_measure, options, folder, lease)
    finally:
        await pool.close()


def _measure(options: argparse.Namespace, folder: Path, lease: Lease | None) -> None:
    """Ask the questions of the chosen split and print the figures."""
    library = Library(folder / "library.db")
    name = options.split
    texts = documents(SPLITS[name][1])
    ids = {
        own: library.add(title(text, own), text, f"documents/{own}.md")
        for own, text in texts.items()
    }
    print(f"{len(texts)} documents, {sum(map(len, texts.values())) // 1000} kB")
    rows = questions(name)[: options.first]
    figures = Figures()
    for row in rows:
        context = InProcess(library, {"question": row["question"], "depth": options.depth})
        _let_write(context, lease)
        failure = _ask(context, ids, row, figures)
        if failure and options.failures and not name.endswith("final"):
            print(failure)
    print(figures.line(f"research, {name}"))
    print(Baseline(texts).figures(rows).line(f"baseline, {name}"))
    _print_checks(figures)


def _let_write(context: InProcess, lease: Lease | None) -> None:
    """Give the context the embedded model, if there is one."""
    if lease is None:
        return

    def write(messages: list[dict[str, str]]) -> str:
        request = GenerationRequest(messages=messages, max_tokens=ANSWER_TOKENS, temperature=0.0)
        return generate(
            lease,
            request,
            on_chunk=lambda chunk: None,
            on_checkpoint=lambda checkpoint, file: file.unlink(missing_ok=True),
            cancelled=lambda: False,
        ).text

    context.model, context.writer = MODEL, write
    context.tokens = lambda text: count_tokens(lease, text)


def _print_checks(figures: Figures) -> None:
    print(
        f"  quotes that are not in their document: {figures.untrue_quotes}; unsupported sentences"
        f" not marked: {figures.unmarked}; sentences of the model shown:"
        f" {figures.model_sentences}, held back: {figures.held_back}"
    )
    for name, times in (("first passage", figures.first_passage_ms), ("answer", figures.answer_ms)):
        ordered = sorted(times)
        p95 = ordered[int(0.95 * (len(ordered) - 1))]
        print(f"  question to {name}: median {statistics.median(ordered):.0f} ms, p95 {p95:.0f} ms")


def _ask(context: InProcess, ids: dict[str, str], row: dict[str, Any], figures: Figures) -> str:
    """Ask one question, add to the figures, and return what went wrong, if anything."""
    started = time.perf_counter()
    result = run(context)
    figures.answer_ms.append(1000 * (time.perf_counter() - started))
    shown = [at for kind, data, at in context.events if kind == SEARCH_RESULT and data["hits"]]
    figures.first_passage_ms += [1000 * (at - started) for at in shown[:1]]
    cited = [citation["document_id"] for citation in result["citations"]]
    _check_quotes(context.library, result, figures)
    refused = result["answer"].startswith(_REFUSAL)
    if row["document"] is None:
        figures.unanswerable += 1
        figures.refused += refused
        return "" if refused else f"ANSWERED {row['question']}\n{result['answer']}"
    answer = result["answer"].partition("**Sources**")[0]
    right, fact = ids[row["document"]] in cited, _is_whole(answer, row)
    plain = answer.partition(_RELATED)[0]
    figures.asked += 1
    figures.right_document += right
    figures.plain_document += right and not refused
    figures.first_document += cited[:1] == [ids[row["document"]]]
    figures.fact += fact
    figures.plain_fact += fact and not refused and _is_whole(plain, row)
    figures.characters.append(len(answer))
    good = right and fact and not refused and _is_whole(plain, row)
    return "" if good else f"MISSED {row['question']} ({row['fact']})\n{result['answer']}"


def _is_whole(answer: str, row: dict[str, Any]) -> bool:
    """Tell whether an answer has every part, and names the one that the documents have not."""
    found, _, after = answer.partition(_UNANSWERED)
    missing, _, more = after.partition("\n")
    found += more
    parts = [row["fact"]] + ([row["also"]] if "also" in row else [])
    named = "missing" not in row or states(missing, [row["missing"]])
    return named and all(states(found, part) for part in parts)


def _check_quotes(library: Library, result: dict[str, Any], figures: Figures) -> None:
    """Count quotes that their document does not have, and model sentences that none bears out."""
    for one in result["citations"]:
        text = library.text(one["document_id"], *one["span"])
        figures.untrue_quotes += text != one["quote"]
    figures.held_back += len(result["unsupported"])
    own = re.search(r"\*\*In the model's words\*\*[^:]*: (.*)", result["answer"])
    for sentence, number in re.findall(r"(.+?) \[(\d+)\](?: |$)", own[1] if own else ""):
        figures.model_sentences += 1
        cited = result["citations"][int(number) - 1]
        bare = re.sub(r"\\([^\w\s])", r"\1", sentence)
        figures.unmarked += not supported(bare, cited["quote"])


class Baseline:
    """Plain BM25: SQLite's FTS5 over the same passages, its best three shown whole."""

    def __init__(self, texts: dict[str, str]) -> None:
        self.connection = sqlite3.connect(":memory:")
        self.connection.execute(
            "CREATE VIRTUAL TABLE passages USING fts5"
            "(name UNINDEXED, title, text, tokenize='porter unicode61')"
        )
        for name, text in texts.items():
            named = f"{name} {title(text, name)}"
            rows = ((name, named, text[one.start : one.end]) for one in split(text))
            self.connection.executemany("INSERT INTO passages VALUES (?, ?, ?)", rows)

    def figures(self, rows: Sequence[dict[str, Any]]) -> Figures:
        """Answer the questions with the best passages."""
        figures = Figures()
        for row in rows:
            found = self._best(row["question"])
            if row["document"] is None:
                figures.unanswerable += 1
                figures.refused += not found
                continue
            text = "\n".join(body for _, body in found)
            figures.asked += 1
            figures.right_document += row["document"] in [name for name, _ in found]
            figures.plain_document += row["document"] in [name for name, _ in found]
            figures.first_document += row["document"] in [name for name, _ in found[:1]]
            fact = states(text, row["fact"]) and states(text, row.get("also", [""]))
            figures.fact += fact
            figures.plain_fact += fact
            figures.characters.append(len(text))
        return figures

    def _best(self, question: str) -> list[tuple[str, str]]:
        wanted = " OR ".join(f'"{word}"' for word in split_words(question))
        return self.connection.execute(
            "SELECT name, text FROM passages WHERE passages MATCH ? ORDER BY rank LIMIT ?",
            (wanted, _BASELINE_PASSAGES),
        ).fetchall()
