"""What a person at a terminal sees: colours, moving lines, columns that stand under each other."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pty
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from regend.cli.text import width
from tests.cli.conftest import Desk

_STYLE = re.compile(r"\x1b\[[0-9;]*[mG]")


def _seen(
    desk: Desk,
    *arguments: str,
    typed: str = "",
    columns: int = 80,
    more: Mapping[str, str] | None = None,
) -> tuple[str, int]:
    """Run a command in a terminal; return everything that was written to it, and the exit code."""
    given = {**desk.environment, "TERM": "xterm-256color", "COLUMNS": str(columns), **(more or {})}
    child, terminal = pty.fork()
    if child == 0:
        os.execve(sys.executable, [sys.executable, "-m", "regend", *arguments], given)
    os.write(terminal, typed.encode())
    written = b""
    with contextlib.closing(os.fdopen(terminal, "rb", buffering=0)) as screen:
        while piece := _read(screen.read):
            written += piece
    _pid, status = os.waitpid(child, 0)
    return written.decode().replace("\r\n", "\n"), os.waitstatus_to_exitcode(status)


def _read(read: Callable[[int], bytes | None]) -> bytes:
    try:
        return read(65536) or b""
    except OSError as error:
        if error.errno == errno.EIO:  # how Linux says that the other side is gone
            return b""
        raise


def test_states_have_an_icon_a_word_and_a_colour(desk: Desk) -> None:
    done, failed = desk.job("nap"), desk.job("nap", "fail_at=0")
    desk.await_state(done, "completed")
    desk.await_state(failed, "failed")
    seen, code = _seen(desk, "jobs", "list", "-n", "2")
    assert code == 0
    assert "\x1b[32m● completed\x1b[0m" in seen
    assert "\x1b[31m✗ failed\x1b[0m" in seen


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_can_be_switched_off(desk: Desk, name: str, value: str) -> None:
    desk.job("nap", "title_is=plain nap")
    seen, _code = _seen(desk, "jobs", "list", "-q", "plain nap", more={name: value})
    assert "plain nap" in seen
    assert not re.search(r"\x1b\[[0-9;]*m", seen)


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_a_listing_keeps_to_the_width_of_the_terminal(desk: Desk, columns: int) -> None:
    desk.job("nap", "title_is=wide " + "word " * 50)
    seen, _code = _seen(desk, "jobs", "list", "-q", "wide word", columns=columns)
    rows = [_STYLE.sub("", row) for row in seen.splitlines() if "wide" in row]
    assert rows
    for row in rows:
        assert len(row) <= columns
        assert "…" in row


def test_a_narrow_terminal_sees_the_title_rather_than_the_device(desk: Desk) -> None:
    desk.job("nap", "title_is=narrow " + "word " * 50)
    listing = ("jobs", "list", "--wide", "-q", "narrow word")
    wide, _code = _seen(desk, *listing, columns=120)
    narrow, _code = _seen(desk, *listing, columns=70)
    assert "DEVICE" in wide and "DEVICE" not in narrow
    row = next(_STYLE.sub("", one) for one in narrow.splitlines() if "narrow" in one)
    assert len(row) == 70, "what the device leaves is the title's"


def test_columns_after_a_hindi_title_stand_where_those_of_others_do(desk: Desk) -> None:
    desk.job("nap", "title_is=alignment यूपीआई लाइट क्या है")
    desk.job("nap", "title_is=alignment in English")
    seen, _code = _seen(desk, "jobs", "list", "--wide", "-q", "alignment", columns=100)
    hindi = next(row for row in seen.splitlines() if "यूपीआई" in row)
    english = next(row for row in seen.splitlines() if "English" in row)
    column = int(re.findall(r"\x1b\[(\d+)G", hindi)[-1])
    device = desk.json("devices", "list")["devices"][0]["name"]
    assert _STYLE.sub("", english).index(device) == column - 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("jobs", "list", "--help"),
        ("status",),
        ("tokens", "list"),
        ("models", "list"),
        ("models", "ps"),
        ("jobs", "logs", "{job}"),
        ("jobs", "steps", "{job}"),
        ("jobs", "pause", "{job}"),
        ("tokens", "create"),
    ],
    ids=" ".join,
)
def test_nothing_is_broken_in_mid_word_on_a_narrow_terminal(
    desk: Desk, arguments: tuple[str, ...]
) -> None:
    job = desk.job("nap", "steps=2", "title_is=यूपीआई लाइट 日本語 🙂 " + "word " * 20)
    desk.await_state(job, "completed")
    seen, _code = _seen(desk, *(part.format(job=job) for part in arguments), columns=40)
    rows = _STYLE.sub("", seen).splitlines()
    assert len(rows) > 1
    paths = ("/", "  /", "http")  # whole, so that they can be copied
    assert [row for row in rows if width(row) > 40 and not row.startswith(paths)] == []


def test_an_error_for_a_program_is_one_line_even_on_a_terminal(desk: Desk) -> None:
    seen, code = _seen(desk, "jobs", "show", "nonsense", "--json", columns=40)
    assert code == 4
    assert json.loads(seen)["error"]["code"] == "job_not_found"


def test_an_answer_streams_to_the_terminal_once(desk: Desk) -> None:
    seen, code = _seen(desk, "ask", "alpha beta gamma delta")
    assert code == 0
    shown = _STYLE.sub("", seen)
    assert shown.count("alpha beta gamma delta") == 1
    assert "●" not in shown


def test_an_answer_that_streams_keeps_its_words_whole_and_within_the_edge(desk: Desk) -> None:
    words = [f"word{number}-यूपीआई" for number in range(12)]
    seen, code = _seen(desk, "ask", " ".join(words), columns=40)
    assert code == 0
    shown = _STYLE.sub("", seen.rpartition("\x1b[2K")[2])
    assert shown.split() == words
    assert all(width(row) <= 40 for row in shown.splitlines())


def test_the_text_in_a_history_runs_on_in_a_column_of_its_own(desk: Desk) -> None:
    words = [f"word-{number}" for number in range(20)]
    job = desk.job("chat", "--title=Words", "prompt=" + " ".join(words))
    seen, code = _seen(desk, "jobs", "logs", "-f", job)
    assert code == 0
    rows = _STYLE.sub("", seen).splitlines()
    assert all(len(row) <= 80 for row in rows)
    told = [row for row in rows if not row.startswith(" ")]
    assert sum("model:chunk" in row for row in told) == 1
    assert " ".join(row[34:] for row in rows if "word-" in row).split() == words
    piped = desk.run("jobs", "logs", job).stdout
    # Words that come together, as on a busy machine, are one chunk.
    assert 1 < piped.count("model:chunk") <= 20
    assert all(f"{word} " in piped or f'{word}"' in piped for word in words)


def test_following_shows_a_line_for_each_step(desk: Desk) -> None:
    seen, code = _seen(desk, "jobs", "run", "nap", "steps=3", "sleep_s=0.1", "--follow")
    assert code == 0
    assert [f"step-{number}" in seen for number in range(3)] == [True] * 3
    assert "\x1b[32m●\x1b[0m" in seen


def test_a_chat_asks_answers_and_ends(desk: Desk) -> None:
    seen, code = _seen(desk, "chat", typed="hello there\n/exit\n")
    assert code == 0
    help_line, _, talk = seen.partition("›")
    assert "Ctrl-D" in help_line
    assert talk.count("hello there") == 2


def test_ctrl_c_stops_an_answer_and_the_chat_goes_on(desk: Desk) -> None:
    more = {**desk.environment, "TERM": "xterm-256color", "COLUMNS": "80"}
    child, terminal = pty.fork()
    if child == 0:
        os.execve(sys.executable, [sys.executable, "-m", "regend", "chat"], more)
    with contextlib.closing(os.fdopen(terminal, "rb", buffering=0)) as screen:

        def read_until(awaited: str, seen: bytes = b"") -> None:
            while awaited.encode() not in seen:
                piece = _read(screen.read)
                assert piece, seen
                seen += piece

        read_until("›")
        os.write(terminal, ("tale " * 300 + "\n").encode())
        read_until("\ntale")
        os.write(terminal, b"\x03")
        read_until("Stopped.")
        os.write(terminal, b"hello\n")
        read_until("\nhello")
        os.write(terminal, b"/exit\n")
        while _read(screen.read):
            pass
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    stopped = desk.json("jobs", "list", "-n", "2")["jobs"][1]["id"]
    desk.await_state(stopped, "cancelled")


def test_an_approval_is_asked_for_and_no_is_no(desk: Desk) -> None:
    job = desk.job("ask", "to=someone")
    desk.await_state(job, "waiting")
    seen, code = _seen(desk, "jobs", "approve", job, typed="n\n")
    assert code == 1
    assert "Allow it?" in seen
    assert desk.state(job) == "waiting"
    _seen_again, code = _seen(desk, "jobs", "approve", job, typed="y\n")
    assert code == 0
    desk.await_state(job, "completed")


def test_a_folder_is_removed_only_if_the_person_agrees(desk: Desk, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.md").write_text(f"Leaf number {number}.", encoding="utf-8")
    assert desk.run("library", "add", str(tmp_path)).returncode == 0
    seen, code = _seen(desk, "library", "rm", str(tmp_path), typed="n\n")
    assert code == 1
    assert "Remove 3 documents?" in seen and "Nothing was removed." in seen
    seen, code = _seen(desk, "library", "rm", str(tmp_path), "--yes")
    assert (code, "Removed 3 documents." in seen, "?" in seen) == (0, True, False)


def test_an_import_draws_a_bar_and_takes_it_away(desk: Desk, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.md").write_text(f"Document number {number}.", encoding="utf-8")
    seen, code = _seen(desk, "library", "add", str(tmp_path))
    assert code == 0
    assert "━" in seen
    assert "%" in seen
    assert "Added 3 documents" in seen.rsplit("\x1b[2K", 1)[1]


def test_an_answer_names_what_was_not_read_in_one_line(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "ripped.pdf").write_bytes(b"%PDF-1.7 and no more")
    (tmp_path / "harvest.md").write_text("The harvest of Kollam begins in May.", encoding="utf-8")
    desk.run("library", "add", str(tmp_path))
    seen, code = _seen(desk, "research", "When does the harvest of Kollam begin?", "--depth=quick")
    assert code == 0
    shown = _STYLE.sub("", seen)
    assert "could not be read: regend library list --unreadable" in shown
    assert "ripped.pdf" not in shown
