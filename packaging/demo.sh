#!/bin/sh
# From a fresh clone to a running demonstration. Safe to run again.
set -eu
cd "$(dirname "$0")/.."
. packaging/environment.sh
if ! cmp -s requirements-test.lock .venv/regend.lock 2>/dev/null; then
    prepare requirements.lock
fi
exec .venv/bin/regend demo "$@"
