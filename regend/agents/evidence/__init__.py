"""Evidence: the pure part of research: which sentences of what was read answer a question.

There is no model in it, no store and no clock: texts in, quotes out, the same for the same input.
Small models answer badly from given passages and do not notice that they hold no answer; a sentence
of the person's own document, quoted, is true or is not there. So everything here decides what may
be quoted, and of what a model adds, what may stay.

How a question goes through it, with “When is the rent due, and who gets it?”:

1. `question.parts`: two parts. Each has `Term`s with weights ("rent", "due"), the kinds of answer
   that it wants (`cues`: a time; a person) and what it wants measured (`measures`: "how far" wants
   a distance). The second part was told of the first: its "it" is the rent.
2. `question.queries`: the searches to make in the library. `vocabulary` brings the words of papers
   in ("payable" for "due").
3. `reading`: which documents to read, and which windows of long ones. Each part read is a `Piece`.
4. `units`, `pieces`: a piece is cut into `Unit`s (sentence, list item, table row, code), each with
   the terms that it says (`words`). A sentence that begins with "It" leans on the one before
   (`leaning`), so that its terms count too.
5. `scoring.rank`: every unit is a `Candidate`. Four things are asked of it, each for a fault of the
   others. `score` only ranks. `coverage`: does it speak of enough of the question? `aspect`: also
   of what is asked about the document's subject, or only of the subject, as every sentence of a
   lease does? `apart`: does it lack the one word that tells which rent is meant, or say July where
   June was asked (`rivals`)? A text without what the question wants (`kinds`) hardly passes.
6. `selection.choose`: candidates that pass answer; those that do not only come near, and are shown
   as that or not at all. A passing one is widened to what a reader needs, and becomes a `Quote`:
   the document's very characters.
7. `prompt`, then a model, then `answer.check`: a sentence of the model stays where one sentence of
   a quote says each of its clauses (`support`, `clauses`) with the same limiting words
   (`qualifiers`).
8. `answer.markdown`: the answer. `markdown` keeps what a document holds from becoming part of the
   page.

Thresholds and weights stand at the head of the module that uses them, the words that are known in
`vocabulary`, `measures`, `cues`, `rivals` and `qualifiers`. None is derived
from theory: they are what the questions that `tests/agents/questions.py` tells of go best with. To
judge a change: `python -m tests.bench research --split NAME [--failures]` for the splits that are
for tuning, then once those that are not. A rule without which they go as well is one too many, and
one that serves a single question does not stay.
"""
