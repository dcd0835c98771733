"""Extraction: real files of every kind, and files that are not what they say."""

from __future__ import annotations

import asyncio
import io
import sys
from typing import Any

import pypdf
import pytest
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from regend.errors import RegendError
from regend.library.extract import Extracted, extract
from regend.processes import is_alive, kill

PAGE = b"""<!doctype html><html><head><title>My  page</title><script>alert('evil')</script>
<style>.x{}</style></head><body><nav><a href="/">Home</a></nav><article><h1>The daemon</h1>
<p>The daemon listens on port 7867 and is the only process that opens the database.</p>
<h2>Install</h2><pre><code>pip install regend</code></pre>
<p>After that it runs until you stop it, and nothing is lost when it dies.</p></article></body>"""


def pdf(*pages: str, password: str = "", title: str = "") -> bytes:
    """Return a PDF with these texts, made by pypdf."""
    writer = pypdf.PdfWriter()
    for text in pages:
        page = writer.add_blank_page(300, 300)
        font = DictionaryObject(
            {
                NameObject("/Type"): NameObject("/Font"),
                NameObject("/Subtype"): NameObject("/Type1"),
                NameObject("/BaseFont"): NameObject("/Helvetica"),
            }
        )
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})}
        )
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf 20 200 Td ({text}) Tj ET".encode())
        page[NameObject("/Contents")] = writer._add_object(stream)
    if title:
        writer.add_metadata({"/Title": title})
    if password:
        writer.encrypt(password)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


async def code_of(data: bytes, name: str, media_type: str = "") -> str:
    with pytest.raises(RegendError) as caught:
        await extract(data, name=name, media_type=media_type)
    assert caught.value.message
    return caught.value.code


@pytest.mark.parametrize(
    "data",
    [
        "नमस्ते wörld".encode(),
        "नमस्ते wörld".encode("utf-8-sig"),
        "नमस्ते wörld".encode("utf-16"),
        b"\xfe\xff" + "नमस्ते wörld".encode("utf-16-be"),
        "नमस्ते wörld".encode("utf-32"),
    ],
)
async def test_text_is_read_in_every_unicode_encoding(data: bytes) -> None:
    assert (await extract(data, name="a.txt")).text == "नमस्ते wörld"


async def test_text_in_an_older_encoding_is_guessed() -> None:
    text = "Die Größe der Bücher läßt sich ändern, wie man schön weiß. " * 5
    assert (await extract(text.encode("cp1252"), name="a.txt")).text == text


async def test_line_ends_become_newlines_and_controls_are_replaced() -> None:
    found = await extract(b"a\r\nb\rc\x07 \x1b[31m" + b"long text " * 50, name="a.txt")
    assert found.text.startswith("a\nb\nc\ufffd \ufffd[31m")


async def test_a_long_text_is_cleaned_and_looked_through_to_its_end() -> None:
    blanks = " " * 1_000_000
    long = await extract((blanks + "\x01" + blanks + "end\x02").encode(), name="a.txt")
    assert long.text == blanks + "\ufffd" + blanks + "end\ufffd"


async def test_the_title_is_the_first_heading_or_the_name() -> None:
    assert (await extract(b"# My *own* title\n\ntext", name="x.md")).title == "My own title"
    assert (await extract(b"just text", name="folder/report.final.txt")).title == "report.final"


async def test_a_page_becomes_markdown_without_scripts() -> None:
    found = await extract(PAGE, name="page.html")
    assert found.title == "My page"
    assert "## Install" in found.text
    assert "port 7867" in found.text
    assert "pip install regend" in found.text
    assert "alert" not in found.text
    assert (found.media_type, found.language) == ("text/html", "en")


async def test_a_short_page_keeps_its_text() -> None:
    assert (await extract(b"<p>hi <b>there</b></p>", name="a.html")).text == "hi there"


async def test_a_page_says_its_own_encoding() -> None:
    page = '<html><head><meta charset="windows-1251"></head><body><p>Привет, мир</p></body></html>'
    assert "Привет, мир" in (await extract(page.encode("cp1251"), name="a.html")).text


async def test_a_page_is_read_however_odd_its_nesting_and_refused_before_text_is_lost() -> None:
    page = b"<div>" * 1000 + b"deep text" + b"</div>" * 1000
    assert "deep text" in (await extract(page, name="deep.html")).text
    page = b"<div>" * 100_000 + b"deep text" + b"</div>" * 100_000
    assert await code_of(page, "deep.html") == "document_broken"


async def test_a_pdf_becomes_its_pages() -> None:
    data = pdf("First page here", "Second page here", title="A report")
    found = await extract(data, name="a.bin", media_type="application/octet-stream")
    assert (found.title, found.media_type) == ("A report", "application/pdf")
    assert found.text == "First page here\n\f\nSecond page here\n\f\n"


async def test_each_unreadable_pdf_is_refused_with_its_reason() -> None:
    whole = pdf("Some text")
    assert await code_of(pdf("Secret", password="x"), "a.pdf") == "document_encrypted"
    assert await code_of(pdf(""), "scan.pdf") == "document_empty"
    assert await code_of(whole[: len(whole) // 3], "a.pdf") == "document_broken"
    assert await code_of(b"%PDF-1.7\n" + bytes(range(256)) * 50, "a.pdf") == "document_broken"
    assert await code_of(b"not a pdf", "a.pdf") == "document_broken"


async def test_what_holds_no_text_is_refused() -> None:
    assert await code_of(b"", "a.txt") == "document_empty"
    assert await code_of(b" \n\t --- \n", "a.md") == "document_empty"
    assert await code_of(b"<html><body><img src=x></body></html>", "a.html") == "document_empty"
    assert await code_of(b"\x89PNG\r\n\x1a\n" + bytes(100), "a.png") == "media_type_unknown"
    assert await code_of(b"text\0with nul", "a.txt") == "media_type_unknown"
    assert await code_of(b"x", "a", "image/png") == "media_type_unknown"


async def test_a_pdf_that_unpacks_to_more_than_memory_is_refused() -> None:
    import zlib

    bomb = zlib.compress(b"BT /F1 12 Tf (" + b"a" * 400_000_000 + b") Tj ET", 9)
    header = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
    tree = b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    page = b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R>>endobj\n"
    stream = b"4 0 obj<</Length %d/Filter/FlateDecode>>stream\n" % len(bomb) + bomb
    data = header + tree + page + stream + b"\nendstream endobj\ntrailer<</Root 1 0 R>>\n%%EOF"
    code = await code_of(data, "bomb.pdf")
    assert code in ("document_too_large", "document_broken")


async def test_a_text_longer_than_the_bound_is_refused() -> None:
    assert await code_of(b"word " * 5_000_000, "long.txt") == "document_too_large"


async def test_a_cancelled_extraction_leaves_no_child() -> None:
    task = asyncio.create_task(extract(PAGE, name="page.html"))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


_ASKER = """
import asyncio, os, signal
from regend.library.extract import extract
from regend.lifeline import Lifeline

start = Lifeline.start

async def start_and_stop(*command, **options):
    child = await start(*command, **options)
    os.kill(child.pid, signal.SIGSTOP)
    print(child.pid, flush=True)
    return child

Lifeline.start = start_and_stop
asyncio.run(extract(b"<p>A page.", name="page.html"))
"""


async def test_a_child_that_hangs_ends_with_the_process_that_started_it() -> None:
    asker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _ASKER), stdout=asyncio.subprocess.PIPE
    )
    assert asker.stdout is not None
    child = int(await asker.stdout.readline())
    assert is_alive(child)
    asker.kill()
    await asker.wait()
    try:
        async with asyncio.timeout(10):
            while is_alive(child):
                await asyncio.sleep(0.02)
    finally:
        kill(child)


def test_a_crowd_of_documents_is_read_by_two_children_at_a_time_in_every_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    children: list[asyncio.subprocess.Process] = []
    at_once: list[int] = []
    start = asyncio.create_subprocess_exec

    async def counted(*command: str, **pipes: Any) -> asyncio.subprocess.Process:
        children.append(await start(*command, **pipes))
        at_once.append(sum(child.returncode is None for child in children))
        return children[-1]

    async def crowd() -> list[Extracted]:
        return await asyncio.gather(*(extract(PAGE, name="page.html") for _ in range(4)))

    monkeypatch.setattr(asyncio, "create_subprocess_exec", counted)
    for _ in range(2):
        assert [one.title for one in asyncio.run(crowd())] == ["My page"] * 4
    assert len(children) == 8
    assert max(at_once) == 2
