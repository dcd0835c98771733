"""What the library reaches: import beside a bare SQLite, search over 100,000 passages.

Run as `python -m tests.bench library [--passages N] [--megabytes N]`.

Import: files of Markdown made of a Zipf-distributed vocabulary go through `Importer` into a
`Store`, one after the other as the command line sends them: hashed, split, analysed, compressed and
durably stored. The ceiling is a loop over the bare sqlite3 module that inserts the same texts, cut
every 800 characters, into a plain table and an FTS5 table with the `porter unicode61` tokenizer;
the two alternate, and the median of pairs counts.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import random
import re
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from sqlite_utils import Database

from regend.clock import SystemClock, new_id
from regend.config import LibraryConfig
from regend.home import Home
from regend.library.documents import NewDocument, prepare
from regend.library.importer import Importer
from regend.library.index import add_document
from regend.library.passages import split
from regend.library.search import search
from regend.library.stopwords import QUESTION_STOP_WORDS
from regend.store.connection import open_writer
from regend.store.migrations.library import library_tables
from regend.store.migrations.places import place_tables
from regend.store.migrations.rebuild import rebuild_tables
from regend.store.store import Store

# A vocabulary begins with the words that are commonest in any text of its language.
_ENGLISH_STOP = sorted(word for word in QUESTION_STOP_WORDS if word.isascii())
_HINDI_STOP = sorted(word for word in QUESTION_STOP_WORDS if "\u0900" <= word[0] <= "\u097f")
_ENGLISH_SYLLABLES = re.findall("..", "converatronpresimoluteranderisapplicagrafenkoben")
_HINDI_SYLLABLES = re.findall("..", "कामीरेसुलोवानितिपाजुदेहोभागीखाचेरोतूलादी")
_VOCABULARY = 40_000
_QUESTIONS = 200


class Corpus:
    """Documents and questions in a made-up language whose words are as frequent as real ones."""

    def __init__(self, stop_words: Sequence[str], syllables: Sequence[str], seed: int) -> None:
        self._random = random.Random(seed)
        words: dict[str, None] = dict.fromkeys(stop_words)
        while len(words) < _VOCABULARY:
            words["".join(self._random.choices(syllables, k=self._random.randint(2, 4)))] = None
        self._words = list(words)
        self._weights = list(itertools.accumulate(1 / (i + 2.7) for i in range(len(words))))
        self._stop_words = stop_words

    def sentence(self, length: int) -> str:
        """Return that many words, drawn as Zipf's law has it."""
        return " ".join(self._random.choices(self._words, cum_weights=self._weights, k=length))

    def markdown(self, paragraphs: int) -> str:
        """Return a document with a heading before every fourth paragraph."""
        parts = []
        for i in range(paragraphs):
            if i % 4 == 0:
                parts.append(f"## {self.sentence(4)}")
            lines = [self.sentence(12) for _ in range(9)]
            parts.append("\n".join(lines) + ".")
        return "\n\n".join(parts) + "\n"

    def question(self) -> str:
        """Return seven words in plain order, about half of them stop words."""
        asked = self._random.sample(self._stop_words, 2)
        return " ".join([*asked, self.sentence(5)]) + "?"


def _database(folder: Path, name: str) -> sqlite3.Connection:
    connection = open_writer(folder / name)
    library_tables(Database(connection))
    rebuild_tables(Database(connection))
    place_tables(Database(connection))
    return connection


def _document(text: str, title: str) -> NewDocument:
    raw = text.encode()
    digest = hashlib.sha256(raw).hexdigest()
    return NewDocument(title, title, "text/markdown", digest, len(raw), "en", text)


def _import(connection: sqlite3.Connection, texts: Sequence[str]) -> None:
    clock = SystemClock()
    for i, text in enumerate(texts):
        prepared = prepare(_document(text, f"document {i}"))
        connection.execute("BEGIN IMMEDIATE")
        add_document(
            connection, user="owner", prepared=prepared, id=new_id(clock), at_ms=clock.wall_ms()
        )
        connection.execute("COMMIT")


async def _import_files(home: Path, files: Sequence[Path]) -> None:
    store = Store(Home.at(home))
    try:
        importer = Importer(store, SystemClock(), LibraryConfig())
        await importer.start()
        for file in files:  # one after the other, as `regend library add` sends them
            await importer.import_file(file.read_bytes(), str(file), "owner")
    finally:
        store.close()


def _import_bare(path: Path, texts: Sequence[str]) -> None:
    connection = open_writer(path)
    connection.execute("CREATE TABLE bare (text TEXT)")
    connection.execute(
        "CREATE VIRTUAL TABLE bare_fts USING fts5(text, content='', tokenize='porter unicode61')"
    )
    for text in texts:
        cuts = [text[i : i + 800] for i in range(0, len(text), 800)]
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO bare (text) VALUES (?)", ((cut,) for cut in cuts))
        connection.executemany("INSERT INTO bare_fts (text) VALUES (?)", ((cut,) for cut in cuts))
        connection.execute("COMMIT")
    connection.close()


def _seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _measure_import(folder: Path, megabytes: float, rounds: int = 3) -> None:
    corpus = Corpus(_ENGLISH_STOP, _ENGLISH_SYLLABLES, 1)
    texts: list[str] = []
    while sum(map(len, texts)) < megabytes * 1e6:
        texts.append(corpus.markdown(40))
    size = sum(len(text.encode()) for text in texts) / 1e6
    documents = folder / "documents"
    documents.mkdir()
    for i, text in enumerate(texts):
        (documents / f"{i}.md").write_text(text, encoding="utf-8")
    ours, bare = [], []
    for i in range(rounds):
        bare.append(size / _seconds(partial(_import_bare, folder / f"bare{i}.db", texts)))
        coroutine = _import_files(folder / f"ours{i}", sorted(documents.iterdir()))
        ours.append(size / _seconds(partial(asyncio.run, coroutine)))
    share = statistics.median(o / b for o, b in zip(ours, bare, strict=True))
    print(f"import of {size:.1f} MB of Markdown in {len(texts)} documents, median of {rounds}")
    print(f"  regend        {statistics.median(ours):6.2f} MB/s   (wanted: 2.00)")
    print(f"  bare sqlite3  {statistics.median(bare):6.2f} MB/s   (stores and indexes only)")
    print(f"  regend/bare   {share:6.2f}")


def _measure_search(folder: Path, passages: int) -> None:
    connection = _database(folder, "search.db")
    corpora = {
        "English": Corpus(_ENGLISH_STOP, _ENGLISH_SYLLABLES, 2),
        "Hindi": Corpus(_HINDI_STOP, _HINDI_SYLLABLES, 3),
    }
    count = 0
    for corpus in itertools.cycle(corpora.values()):
        texts = [corpus.markdown(40) for _ in range(5)]
        _import(connection, texts)
        count += sum(len(split(text)) for text in texts)
        if count >= passages:
            break
    print(f"search over {count} passages, {_QUESTIONS} questions each, 10 hits")
    for language, corpus in corpora.items():
        questions = [corpus.question() for _ in range(_QUESTIONS)]
        common = [" ".join(corpus._words[i : i + 8]) for i in range(0, 80, 2)]
        for kind, asked in (("plain words", questions), ("only common words", common)):
            times = sorted(_search_ms(connection, question) for question in asked)
            p95 = times[int(len(times) * 0.95)]
            print(
                f"  {language:8} {kind:18} p50 {statistics.median(times):6.1f} ms"
                f"   p95 {p95:6.1f} ms   (wanted: 50)   worst {times[-1]:6.1f} ms"
            )
    connection.close()


def _search_ms(connection: sqlite3.Connection, question: str) -> float:
    started = time.perf_counter()
    search(connection, "owner", question)
    return (time.perf_counter() - started) * 1000


def main(argv: list[str]) -> None:
    """Print the figures of the library."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench library")
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--megabytes", type=float, default=8.0)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        _measure_import(Path(folder), options.megabytes)
        _measure_search(Path(folder), options.passages)
