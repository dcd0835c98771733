"""Asking: research with its sources, single questions, and talking turn by turn."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from regend.cli.chat import _stop
from regend.cli.daemon import Daemon
from regend.cli.running import start
from regend.errors import RateLimited
from regend.home import Home
from tests.cli.conftest import Desk

_FACT = "The harbour of Vizhinjam was opened by the blue committee in the year 2024."


@pytest.fixture(scope="module")
def harbour(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of a document of which a question can be asked."""
    path = tmp_path_factory.mktemp("docs") / "harbour.md"
    path.write_text(f"# Harbours\n\n{_FACT}\n\nIt rains there in June.\n", encoding="utf-8")
    added = desk.json("library", "add", str(path))
    return str(added["added"][0]["id"])


def test_research_prints_the_answer_on_stdout_and_its_steps_on_stderr(
    desk: Desk, harbour: str
) -> None:
    done = desk.run("research", "Who opened the harbour of Vizhinjam?", "--depth", "quick")
    assert done.returncode == 0, done.stderr
    assert "blue committee" in done.stdout
    assert re.search(r"- \[1\] Harbours · \S*harbour\.md · characters \d+–\d+$", done.stdout, re.M)
    for step in ("plan", "search", "read"):
        assert step in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_research_as_json_is_the_result_alone(desk: Desk, harbour: str) -> None:
    done = desk.run(
        "research",
        "Who opened the harbour of Vizhinjam?",
        "--depth=quick",
        "--source",
        harbour[:-3],
        "--json",
    )
    result = json.loads(done.stdout)
    assert set(result) == {"answer", "citations", "unsupported", "searched", "unreadable"}
    assert result["citations"][0]["document_id"] == harbour


def test_research_on_a_source_that_is_not_there_starts_nothing(desk: Desk) -> None:
    before = len(desk.json("jobs", "list", "--type", "research")["jobs"])
    done = desk.run("research", "What?", "--source", "ffffffff")
    assert done.returncode == 4
    assert len(desk.json("jobs", "list", "--type", "research")["jobs"]) == before


def test_research_on_an_empty_library_says_so_and_starts_nothing(own_desk: Desk) -> None:
    own_desk.start()
    done = own_desk.run("research", "When is the rent due?")
    assert (done.returncode, done.stdout) == (4, "")
    assert "library is empty" in done.stderr and "regend library add" in done.stderr
    assert own_desk.json("jobs", "list")["jobs"] == []


def test_an_empty_question_is_refused(desk: Desk) -> None:
    done = desk.run("research", "  ")
    assert done.returncode == 2
    assert "Ask something" in done.stderr


def test_research_can_be_left_to_run(desk: Desk, harbour: str) -> None:
    done = desk.run("research", "What?", "--depth", "quick", "--detach")
    assert done.returncode == 0
    desk.await_state(done.stdout.strip(), "completed")


def test_ask_prints_the_answer_alone(desk: Desk) -> None:
    done = desk.run("ask", "नमस्ते दुनिया")
    assert (done.returncode, done.stdout) == (0, "नमस्ते दुनिया\n")


def test_an_answer_that_was_cut_says_so_and_how_to_get_more(desk: Desk) -> None:
    whole = desk.run("ask", "one two three")
    assert "stopped" not in whole.stderr
    cut = desk.run("ask", "one two three", "--max-tokens", "2")
    assert cut.stdout == "one two\n"
    assert "(stopped at 2 tokens; --max-tokens N allows more)" in cut.stderr
    job = desk.json("jobs", "list", "-n", "1")["jobs"][0]["id"]
    assert (
        "(stopped at 2 tokens; --max-tokens N allows more)" in desk.run("jobs", "show", job).stderr
    )
    talk = desk.run("chat", "--max-tokens", "2", stdin="one two three\n")
    assert talk.stdout == "one two\n"
    assert "(stopped at 2 tokens; --max-tokens N allows more)" in talk.stderr


def test_a_limit_is_waited_for_and_told_and_starts_one_job(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keys: list[str | None] = []

    def post(daemon: Daemon, path: str, body: object, key: str | None = None) -> dict[str, str]:
        keys.append(key)
        if len(keys) == 1:
            raise RateLimited("rate_limited", "Too many.", retry_after_s=0.01)
        return {"id": "started"}

    monkeypatch.setattr(Daemon, "post", post)
    daemon = Daemon(Home.find(desk.environment))
    assert start(daemon, {"type": "research"}) == {"id": "started"}
    assert len(keys) == 2 and keys[0] == keys[1] is not None
    assert "Too many. It starts in 1 s." in capsys.readouterr().err


def test_a_limit_that_takes_too_long_is_told_as_it_is(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def post(*_args: object, **_more: object) -> None:
        raise RateLimited("rate_limited", "Too many.", retry_after_s=3600.0)

    monkeypatch.setattr(Daemon, "post", post)
    with pytest.raises(RateLimited):
        start(Daemon(Home.find(desk.environment)), {"type": "research"})


def test_stopping_an_answer_at_its_end_is_no_error(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    job = desk.job("chat", "prompt=one")
    desk.await_state(job, "completed")
    _stop(Daemon(Home.find(desk.environment)), job)
    assert "It was at its end already." in capsys.readouterr().err


def test_ask_takes_what_is_piped_in(desk: Desk) -> None:
    done = desk.run("ask", "Sum this up:", stdin="one two three")
    assert done.stdout == "Sum this up:\n\none two three\n"
    assert desk.run("ask", stdin="only this").stdout == "only this\n"


def test_ask_without_a_question_is_wrong_usage(desk: Desk) -> None:
    assert desk.run("ask").returncode == 2


def test_chat_remembers_its_turns_and_forgets_them_when_told(desk: Desk) -> None:
    done = desk.run("chat", stdin="one\ntwo\n/clear\nthree\n/exit\nnever\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["one", "one | one | two", "three"]


def test_chat_goes_on_after_a_turn_that_failed(desk: Desk) -> None:
    done = desk.run("chat", "--model", " ", stdin="one\ntwo\n")
    assert done.returncode == 0
    assert done.stderr.count("regend:") == 2


def test_a_folder_is_added_except_for_what_cannot_be_read(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "good.md").write_text("# Good\n\nWorth reading.", encoding="utf-8")
    (tmp_path / 'also "good" पाठ.txt').write_text("Hindi: नमस्ते.", encoding="utf-8")
    (tmp_path / "empty.md").touch()
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\x00\x01\x02" * 50)
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7\nnothing")
    (tmp_path / ".hidden.md").write_text("Hidden.", encoding="utf-8")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    done = desk.run("library", "add", str(tmp_path), str(tmp_path / "missing.md"))
    assert done.returncode == 1
    assert "Added 2 documents" in done.stdout
    assert "5 documents could not be added" in done.stderr
    for name in ("empty.md", "picture.png", "broken.pdf", "dangling", "missing.md"):
        assert name in done.stderr
    assert "1 hidden entry" in done.stderr
    sources = {one["source"] for one in desk.json("library", "list")["documents"]}
    assert str(tmp_path / "sub" / "good.md") in sources
    listed = desk.run("library", "list")
    assert "could not be read: regend library list --unreadable" in listed.stderr
    assert "broken.pdf" not in listed.stdout + listed.stderr
    unread = desk.run("library", "list", "--unreadable")
    assert f"{tmp_path / 'broken.pdf'}: " in unread.stdout
    assert desk.json("library", "list", "--unreadable")["unreadable"]
    assert str(tmp_path / 'also "good" पाठ.txt') in sources


def test_a_document_whose_file_is_gone_is_named_and_removed_where_that_is_asked_for(
    desk: Desk, tmp_path: Path
) -> None:
    folder, beside = tmp_path / "notes", tmp_path / "notes2"
    for place in (folder / "deep", beside):
        place.mkdir(parents=True)
    for file in (folder / "a.md", folder / "deep" / "b.md", folder / "c.md", beside / "d.md"):
        file.write_text(f"Words of {file.name} in {file.parent.name}.", encoding="utf-8")
    assert desk.run("library", "add", str(folder), str(beside)).returncode == 0
    (folder / "deep" / "b.md").unlink()
    (folder / "c.md").rename(folder / "moved.md")
    (beside / "d.md").unlink()
    done = desk.run("library", "add", "notes", cwd=tmp_path)
    assert done.returncode == 0
    assert "1 document came from files that are gone" in done.stderr
    assert str(folder / "deep" / "b.md") in done.stderr
    assert "--prune" in done.stderr
    assert "d.md" not in done.stderr and "c.md" not in done.stderr
    (gone,) = desk.json("library", "add", str(folder))["gone"]
    assert (gone["source"], gone["removed"]) == (str(folder / "deep" / "b.md"), False)

    def sources() -> set[str]:
        return {one["source"] for one in desk.json("library", "list")["documents"]}

    assert str(folder / "deep" / "b.md") in sources()
    pruned = desk.run("library", "add", "--prune", str(folder))
    assert "Removed 1 document whose files are gone." in pruned.stdout
    assert str(folder / "deep" / "b.md") not in sources()
    kept = {str(folder / "a.md"), str(folder / "moved.md"), str(beside / "d.md")}
    assert kept <= sources()


def test_pruning_one_folder_leaves_a_document_whose_copy_stands_in_another(
    desk: Desk, tmp_path: Path
) -> None:
    one, two = tmp_path / "one" / "q1.txt", tmp_path / "two" / "q2.txt"
    for file in (one, two):
        file.parent.mkdir()
        file.write_text("Spare fuses lie in the blue tin of Ottapalam.", encoding="utf-8")
        assert desk.run("library", "add", str(file.parent)).returncode == 0
    assert str(two) in _sources(desk)
    two.unlink()
    pruned = desk.run("library", "add", "--prune", str(two.parent))
    assert pruned.returncode == 0 and "Removed" not in pruned.stdout
    assert str(one) in _sources(desk) and str(two) not in _sources(desk)
    one.unlink()
    pruned = desk.run("library", "add", "--prune", str(one.parent))
    assert "Removed 1 document whose files are gone." in pruned.stdout
    assert str(one) not in _sources(desk)


def test_a_folder_without_a_file_is_answered_with_what_can_be_read(
    desk: Desk, tmp_path: Path
) -> None:
    done = desk.run("library", "add", str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "")
    assert "Markdown" in done.stderr and "PDF" in done.stderr


def test_adding_twice_says_that_it_is_there_already(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "twice.md"
    path.write_text("Said once and for all.", encoding="utf-8")
    assert "Added 1 document" in desk.run("library", "add", str(path)).stdout
    again = desk.run("library", "add", str(path))
    assert again.returncode == 0
    assert "there already" in again.stdout


def test_an_address_of_this_machine_is_not_fetched(desk: Desk) -> None:
    done = desk.run("library", "add", "http://127.0.0.1:9/secret")
    assert done.returncode == 1
    assert "http://127.0.0.1:9/secret" in done.stderr


def test_search_shows_the_part_of_a_passage_that_has_the_words(desk: Desk, tmp_path: Path) -> None:
    filler = "The veranda of the bungalow is swept each morning. " * 14
    letter = tmp_path / "bungalow.txt"
    letter.write_text(f"{filler}The quiet lodger keeps a parakeet. {filler}", encoding="utf-8")
    assert desk.run("library", "add", str(letter)).returncode == 0
    shown = desk.run("library", "search", "parakeets").stdout
    assert "keeps a parakeet" in " ".join(shown.split())
    assert len(shown.splitlines()) < 12 and not shown.endswith("\n\n")


def test_search_finds_hindi_and_says_where(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "upi.md"
    path.write_text("यूपीआई लाइट फ़ोन में छोटा बैलेंस रखता है।", encoding="utf-8")
    desk.run("library", "add", str(path))
    done = desk.run("library", "search", "यूपीआई", "बैलेंस")
    assert done.returncode == 0
    assert "छोटा बैलेंस" in done.stdout
    assert "characters 0–" in done.stdout
    nothing = desk.run("library", "search", "qqqqzzzz")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert nothing.stderr


def test_a_document_is_removed_by_the_beginning_of_its_id(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "gone.md"
    path.write_text("Soon to be gone.", encoding="utf-8")
    added = desk.json("library", "add", str(path))["added"][0]["id"]
    assert desk.run("library", "rm", added[:-1]).returncode == 0
    assert added not in {one["id"] for one in desk.json("library", "list")["documents"]}
    assert path.exists()


def _sources(desk: Desk) -> set[str]:
    listed = desk.json("library", "list", "-n", "1000")
    return {one["source"] for part in ("documents", "unreadable") for one in listed[part]}


def _folder_with_a_torn_file(tmp_path: Path) -> tuple[Path, Path]:
    folder, beside = tmp_path / "letters", tmp_path / "letters2"
    for place in (folder / "deep", beside):
        place.mkdir(parents=True)
        (place / "one.md").write_text(f"A letter that lies in {place.name}.", encoding="utf-8")
    (folder / "two.md").write_text("A letter that lies above.", encoding="utf-8")
    (folder / "torn.pdf").write_bytes(b"%PDF-1.7 and no more")
    return folder, beside


def test_a_file_and_a_folder_are_removed_with_what_could_not_be_read_there(
    desk: Desk, tmp_path: Path
) -> None:
    folder, beside = _folder_with_a_torn_file(tmp_path)
    assert desk.run("library", "add", str(folder), str(beside)).returncode == 1
    kept = {str(beside / "one.md")}
    all_of_it = {str(folder / name) for name in ("two.md", "deep/one.md", "torn.pdf")} | kept
    assert all_of_it <= _sources(desk)
    one = desk.run("library", "rm", "letters/two.md", cwd=tmp_path)
    assert (one.returncode, one.stdout) == (0, f"Removed 1 document: {folder / 'two.md'}\n")
    removed = desk.json("library", "rm", str(folder))
    assert [document["source"] for document in removed["removed"]] == [str(folder / "deep/one.md")]
    assert [entry["source"] for entry in removed["forgotten"]] == [str(folder / "torn.pdf")]
    assert _sources(desk) & all_of_it == kept
    again = desk.run("library", "rm", str(folder))
    assert again.returncode == 4 and str(folder) in again.stderr


def test_a_document_that_lies_at_several_paths_is_found_at_each(desk: Desk, tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("old/same.md", "new/same.md")]
    for place in places:
        place.parent.mkdir()
        place.write_text("The same letter, kept at two paths.", encoding="utf-8")
        assert desk.run("library", "add", str(place)).returncode == 0
    once = desk.run("library", "rm", str(places[0]))
    assert once.returncode == 0 and str(places[0]) in once.stdout
    (kept,) = [
        one
        for one in desk.json("library", "list", "-n", "1000")["documents"]
        if one["source"] == str(places[1])
    ]
    assert kept["places"] == [str(places[1])]
    assert desk.run("library", "rm", str(tmp_path)).returncode == 0
    assert not _sources(desk) & {str(place) for place in places}


def test_a_folder_that_holds_all_places_of_a_document_removes_it(
    desk: Desk, tmp_path: Path
) -> None:
    for name in ("one.md", "two.md"):
        (tmp_path / name).write_text("A letter, twice in one folder.", encoding="utf-8")
    assert desk.run("library", "add", str(tmp_path)).returncode == 0
    removed = desk.json("library", "rm", str(tmp_path))
    assert len(removed["removed"]) == 1 and removed["left"] == []
    assert not any(one.startswith(str(tmp_path)) for one in _sources(desk))


def test_what_could_not_be_read_and_is_gone_leaves_the_record_with_prune(
    desk: Desk, tmp_path: Path
) -> None:
    folder, _beside = _folder_with_a_torn_file(tmp_path)
    desk.run("library", "add", str(folder))
    (folder / "torn.pdf").unlink()
    desk.run("library", "add", str(folder))
    assert str(folder / "torn.pdf") in _sources(desk)
    assert desk.run("library", "add", "--prune", str(folder)).returncode == 0
    assert str(folder / "torn.pdf") not in _sources(desk)


def test_a_page_is_removed_by_its_address(desk: Desk) -> None:
    address = "https://example.org/letters"
    page = {"title": "Letters", "source": address, "text": "A page of letters."}
    Daemon(Home.at(desk.home)).post("/library", page)
    assert address in _sources(desk)
    assert desk.run("library", "rm", "https://example.org/letter").returncode == 4
    assert desk.run("library", "rm", address).returncode == 0
    assert address not in _sources(desk)


def test_a_search_for_nothing_is_answered_in_plain_words(desk: Desk) -> None:
    done = desk.run("library", "search", "")
    assert done.returncode == 2
    assert "Say what to search for." in done.stderr


def test_a_question_may_be_typed_without_quotes(desk: Desk, harbour: str) -> None:
    result = desk.json("research", "When", "was", "the", "harbour", "of", "Vizhinjam", "opened?")
    assert "blue committee" in result["answer"]
    asked = desk.run("ask", "one", "two", "three", "--detach", "--json")
    assert json.loads(asked.stdout)["input"]["prompt"] == "one two three"
