# Sourced by the other scripts: makes .venv with what a lock file names. Safe to run again.
# Uses nothing but POSIX sh, Python and pip; needs no root and no compiler.

fail() {
    printf 'regend: %s\n' "$1" >&2
    [ -z "${2:-}" ] || printf '  What to do: %s\n' "$2" >&2
    exit 1
}

find_python() {
    for candidate in ${PYTHON:-python3.14 python3.13 python3.12 python3.11 python3 python}; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2])' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    fail "no Python 3.11 or newer was found." \
        "install one (Debian, Ubuntu: sudo apt install python3 python3-venv; macOS: brew install python), or name it: PYTHON=/path/to/python3 $0"
}

need_space() {
    free_kb=$(df -Pk . | awk 'NR == 2 { print $4 }')
    if [ "$free_kb" -lt "$1" ]; then
        fail "only $((free_kb / 1024)) MB are free here; $(($1 / 1024)) MB are needed." \
            "free some space, or clone regend onto a larger disk."
    fi
}

# prepare LOCK: makes or refreshes .venv from this lock file.
prepare() {
    lock=$1
    stamp=.venv/regend.lock
    if [ -x .venv/bin/python ] && cmp -s "$lock" "$stamp" && .venv/bin/python -c 'import regend' 2>/dev/null; then
        return
    fi
    python=$(find_python) || exit 1
    "$python" -c 'import venv, ensurepip' 2>/dev/null || fail "$python has no venv module." \
        "Debian, Ubuntu: sudo apt install python3-venv"
    need_space 1200000
    if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        rm -rf .venv
        "$python" -m venv .venv || fail "the virtual environment could not be made in $(pwd)/.venv."
    fi
    printf 'Installing regend into %s/.venv (once; a few minutes on a slow line) …\n' "$(pwd)"
    rm -f "$stamp"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        --only-binary :all: --require-hashes -r "$lock" ||
        fail "the packages could not be installed." \
            "check the network (or your pip mirror) and run this again; what was downloaded is kept."
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        --no-deps --no-build-isolation --editable . ||
        fail "regend itself could not be installed."
    cp "$lock" "$stamp"
}
