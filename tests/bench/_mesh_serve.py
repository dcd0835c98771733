"""The real daemon with one more kind of job, which takes a place and does nothing."""

from __future__ import annotations

import sys

from regend.agents import AGENTS
from regend.daemon import main
from regend.home import Home
from regend.jobs.inputs import INPUT_TYPES, InputType
from regend.jsonschema import fields

_NAP = InputType(fields(steps={}, sleep_s={}), lambda _value: "A nap")

if __name__ == "__main__":
    agents = {**AGENTS, "nap": "tests.cli.programs.nap"}
    sys.exit(main(Home.find(), port=0, agents=agents, types={**INPUT_TYPES, "nap": _NAP}))
