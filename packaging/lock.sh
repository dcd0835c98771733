#!/bin/sh
# Makes the lock files anew from pyproject.toml: for all systems, with hashes, without addresses.
# Needs uv (https://docs.astral.sh/uv): UV=/path/to/uv packaging/lock.sh
set -eu
cd "$(dirname "$0")/.."
uv=${UV:-uv}
lock() {
    target=$1
    shift
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
        --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
        "$@" packaging/build.in pyproject.toml --output-file "$target"
}
lock requirements.lock
lock requirements-test.lock --extra test
