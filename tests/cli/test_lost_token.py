"""The owner's token lost or spoiled: whoever owns the home gets a new one all the same."""

from __future__ import annotations

import json

from tests.cli.conftest import Desk


def test_a_daemon_whose_token_was_lost_is_stopped_and_writes_a_new_one(own_desk: Desk) -> None:
    own_desk.start()
    token = own_desk.home / "token"
    for content in (None, "", "two words", "nonsense", "नहीं", "a\nb"):
        token.unlink()
        if content is not None:
            token.write_text(content, encoding="utf-8")
        refused = own_desk.run("jobs", "list")
        assert refused.returncode == 5, content
        assert str(token) in refused.stderr, content
        assert "regend stop, then regend serve --background" in refused.stderr, content
        assert "tokens create" not in refused.stderr, content
        daemon = own_desk.daemon
        assert daemon is not None
        stopped = own_desk.run("stop")
        assert stopped.returncode == 0, (content, stopped.stderr)
        daemon.wait(30)
        own_desk.start()
        assert own_desk.run("jobs", "list").returncode == 0, content


def test_stop_ends_no_process_that_does_not_hold_the_home(own_desk: Desk) -> None:
    own_desk.start()
    with own_desk.open("jobs", "run", "chat", "--input", "@-") as bystander:  # waits for its stdin
        told = own_desk.home / "daemon.json"
        announced = json.loads(told.read_text(encoding="utf-8"))
        told.write_text(json.dumps({**announced, "pid": bystander.pid}), encoding="utf-8")
        assert own_desk.run("stop").returncode == 3
        assert bystander.poll() is None
