#!/bin/sh
# Everything that must hold: format, lint, types, tests. `--long` adds the soaks.
set -eu
cd "$(dirname "$0")/.."
. packaging/environment.sh
# More at a time than a small machine has cores: much of the time goes by in waiting for processes.
at_once=3
if [ "${1:-}" = "--long" ]; then
    at_once=2  # soaks use all that they get
    REGEND_LONG=1
    export REGEND_LONG
    shift
fi
prepare requirements-test.lock
.venv/bin/ruff format --check .
.venv/bin/ruff check .
.venv/bin/mypy
# Each worker gets the next test as it has done one: tests/conftest.py puts the longest first.
exec .venv/bin/python -m pytest -n "$at_once" --maxschedchunk 1 "$@"
