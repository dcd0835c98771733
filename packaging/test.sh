#!/bin/sh
# Everything that must hold: format, lint, types, tests. `--long` adds the soaks.
set -eu
cd "$(dirname "$0")/.."
. packaging/environment.sh
if [ "${1:-}" = "--long" ]; then
    REGEND_LONG=1
    export REGEND_LONG
    shift
fi
prepare requirements-test.lock
.venv/bin/ruff format --check .
.venv/bin/ruff check .
.venv/bin/mypy
# Two at a time: much of the time goes by in waiting for processes. What stays together,
# tests/conftest.py tells.
exec .venv/bin/python -m pytest -n 2 "$@"
