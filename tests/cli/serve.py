"""The real daemon with the agents of `programs` besides its own; run as `python -m`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from regend.agents import AGENTS
from regend.daemon import main
from regend.home import Home
from regend.jobs.inputs import INPUT_TYPES, InputType
from regend.jsonschema import fields
from tests.network import keep_apart


def _type(title: str, *names: str) -> InputType:
    named: Callable[[dict[str, Any]], str] = lambda value: str(value.get("title_is", title))  # noqa: E731
    return InputType(fields(title_is={}, **{name: {} for name in names}), named)


TYPES = {
    **INPUT_TYPES,
    "nap": _type("A nap", "steps", "sleep_s", "fail_at"),
    "ask": _type("A question", "to"),
}
PROGRAMS = {
    **AGENTS,
    "nap": "tests.cli.programs.nap",
    "ask": "tests.cli.programs.ask",
    "chat": "tests.cli.programs.reply",
}

if __name__ == "__main__":
    keep_apart()
    sys.exit(main(Home.find(), port=int(sys.argv[1]), agents=PROGRAMS, types=TYPES))
