"""PDFs: headings and paragraphs out of sizes, weights and places."""

from __future__ import annotations

import io

import pypdf
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from regend.library.passages import split
from regend.library.pdf import read
from regend.library.sentences import sentences

Placed = tuple[str, str, int, int]  # text, font, size, height on the page


def pdf(*pages: list[Placed]) -> bytes:
    """Return a PDF of these lines."""
    writer = pypdf.PdfWriter()
    fonts = {"F": "/Helvetica", "B": "/Helvetica-Bold"}
    for lines in pages:
        page = writer.add_blank_page(500, 800)
        font = {
            NameObject(f"/{key}"): DictionaryObject(
                {
                    NameObject("/Type"): NameObject("/Font"),
                    NameObject("/Subtype"): NameObject("/Type1"),
                    NameObject("/BaseFont"): NameObject(name),
                }
            )
            for key, name in fonts.items()
        }
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject(font)}
        )
        stream = DecodedStreamObject()
        stream.set_data(
            "\n".join(
                f"BT /{key} {size} Tf 1 0 0 1 20 {height} Tm ({text}) Tj ET"
                for text, key, size, height in lines
            ).encode()
        )
        page[NameObject("/Contents")] = writer._add_object(stream)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def sentences_of(text: str) -> list[str]:
    return [" ".join(text[start:end].split()) for start, end in sentences(text)]


FIRST = [
    ("The lease begins on the first day of March and ends", "F", 10, 680),
    ("in the year after that on the last day of", "F", 10, 668),
    ("February. Both parties sign it.", "F", 10, 656),
]


def test_a_larger_or_bolder_line_is_a_heading_of_its_level() -> None:
    page: list[Placed] = [
        ("The lease", "F", 20, 720),
        ("Begin and end", "F", 14, 700),
        *FIRST,
        ("Rent", "F", 14, 630),
        ("It is due on the fifth day of every month, by transfer", "F", 10, 610),
        ("to the bank.", "F", 10, 598),
        ("Late rent", "B", 10, 586),
        ("Each day of delay costs one more euro than the last", "F", 10, 574),
        ("one did.", "F", 10, 562),
    ]
    _, text = read(pdf(page))
    assert [passage.heading for passage in split(text)] == [
        "Page 1 › The lease › Begin and end",
        "Page 1 › The lease › Rent",
        "Page 1 › The lease › Rent › Late rent",
    ]
    assert "It is due on the fifth day of every month, by transfer to the bank." in sentences_of(
        text
    )


def test_a_heading_over_two_lines_is_one() -> None:
    page: list[Placed] = [
        *(("A very long heading", "B", 14, 720), ("over two lines", "B", 14, 704)),
        *FIRST,
    ]
    assert "## A very long heading over two lines\n" in read(pdf(page))[1]


def test_bold_words_within_a_sentence_are_no_heading() -> None:
    page: list[Placed] = [
        *FIRST,
        ("The rent, and this is important to the landlord, must,", "F", 10, 644),
        ("Without Exception", "B", 10, 632),
        ("be paid.", "F", 10, 620),
        ("Whole Bold Line Of A Text", "B", 10, 608),
        ("goes on in here.", "F", 10, 596),
    ]
    assert "#" not in read(pdf(page))[1]


def test_many_lines_in_large_print_are_text() -> None:
    page: list[Placed] = [
        ("Large print for the poor of sight", "F", 16, 760 - 18 * i) for i in range(5)
    ]
    assert "#" not in read(pdf([*page, *FIRST, *FIRST]))[1]


def test_a_table_of_contents_is_no_run_of_headings() -> None:
    page: list[Placed] = [("Rent . . . . . . . . . . 5", "B", 12, 720), *FIRST]
    assert "#" not in read(pdf(page))[1]


def test_a_heading_like_the_text_is_parted_from_it_by_its_length_or_the_gap() -> None:
    page: list[Placed] = [
        ("Begin and end", "F", 10, 692),
        *FIRST,
        ("Of the rent, and when it is due in the year", "F", 10, 632),
        ("It is due on the fifth day of every month, by transfer.", "F", 10, 620),
        ("7", "F", 10, 40),
    ]
    _, text = read(pdf(page))
    assert sentences_of(text)[:3] == [
        "Begin and end",
        "The lease begins on the first day of March and ends in the year after that on the last"
        " day of February.",
        "Both parties sign it.",
    ]
    assert sentences_of(text)[-1] == "7"
    assert "sign it.\n\nOf the rent" in text


def test_a_sentence_over_lines_stays_one() -> None:
    page: list[Placed] = [
        ("The keys are given by", "F", 10, 692),
        ("Mr Rao to the tenant on", "F", 10, 680),
        ("3 March, and the tenant", "F", 10, 668),
        ("gives them to", "F", 10, 650),
        ("nobody else.", "F", 10, 638),
    ]
    assert len(sentences_of(read(pdf(page))[1])) == 1


def test_text_that_looks_like_markdown_is_still_text() -> None:
    page: list[Placed] = [("# a comment in a listing", "F", 10, 700), *FIRST]
    assert [p.heading for p in split(read(pdf(page))[1])] == ["Page 1"]


def test_each_page_ends_in_a_form_feed() -> None:
    line: list[Placed] = [("One line.", "F", 10, 700)]
    assert read(pdf(line, [], line))[1] == "One line.\n\f\n\n\f\nOne line.\n\f\n"
