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

# need_openmp PYTHON: llama.cpp, which runs the models, is linked to it; small images leave it out.
need_openmp() {
    [ "$(uname -s)" = Linux ] || return 0
    "$1" -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null || fail \
        "the system's OpenMP library, libgomp.so.1, is missing." \
        "Debian, Ubuntu: sudo apt install libgomp1; Fedora: sudo dnf install libgomp"
}

# count_packages LOCK: prints how many packages a lock file names.
count_packages() {
    awk '/^[^ #].*==/ { count++ } END { print count + 0 }' "$1"
}

# pip ARGUMENTS: runs pip install with its output in the log. Its status is told in a file, because
# plain sh cannot ask a pipe for it.
pip() {
    {
        PYTHONUNBUFFERED=1 .venv/bin/python -m pip install --disable-pip-version-check \
            --no-input --progress-bar off "$@" 2>&1 && status=0 || status=$?
        printf '%s\n' "$status" >.venv/install.status
    } | follow
    [ "$(cat .venv/install.status)" = 0 ]
}

# follow: keeps what pip says in the log; on a terminal it shows in one line how far pip is.
follow() {
    fetched=0
    while IFS= read -r line; do
        printf '%s\n' "$line" >>"$log"
        [ -t 1 ] || continue
        case $line in
            "Collecting "* | "Ignoring "*) name=${line#* } name=${name%%[=<>: ]*} ;;
            "Processing "*) name=${line##*/} name=${name%%-*} ;;
            "Requirement already satisfied: "*) name=${line#*: } name=${name%%[=<> ]*} ;;
            "Installing collected "*) printf '\r\033[2K        unpacking them'; continue ;;
            *) continue ;;
        esac
        fetched=$((fetched + 1))
        printf '\r\033[2K        %s of %s: %s' "$fetched" "$packages" "$name"
    done
    [ ! -t 1 ] || printf '\r\033[2K'
}

# last_words: shows the end of what pip said.
last_words() {
    awk '{ said[NR] = $0 }
        END { for (i = NR > 8 ? NR - 7 : 1; i <= NR; i++) print "  | " said[i] }' "$log" >&2
}

# prepare LOCK: makes or refreshes .venv from this lock file.
prepare() {
    lock=$1
    stamp=.venv/regend.lock
    log=.venv/install.log
    if [ -x .venv/bin/python ] && cmp -s "$lock" "$stamp" && .venv/bin/python -c 'import regend' 2>/dev/null; then
        return
    fi
    python=$(find_python) || exit 1
    "$python" -c 'import venv, ensurepip' 2>/dev/null || fail "$python has no venv module." \
        "Debian, Ubuntu: sudo apt install python3-venv"
    need_openmp "$python"
    need_space 1200000
    packages=$(count_packages "$lock")
    printf 'Installing regend into %s/.venv\n(once; on a slow line it takes some minutes)\n' "$(pwd)"
    if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        printf '1 of 3  a virtual environment of %s\n' "$python"
        rm -rf .venv
        "$python" -m venv .venv || fail "the virtual environment could not be made in $(pwd)/.venv."
    else
        printf '1 of 3  the virtual environment is there already\n'
    fi
    rm -f "$stamp"
    : >"$log"
    printf '2 of 3  %s packages, each checked by its SHA-256\n' "$packages"
    pip --only-binary :all: --require-hashes -r "$lock" || {
        last_words
        fail "the packages could not be installed." \
            "check the network (or your pip mirror) and run this again; what was downloaded is kept."
    }
    printf '3 of 3  regend itself\n'
    pip --no-deps --no-build-isolation --editable . || {
        last_words
        fail "regend itself could not be installed." "read $(pwd)/$log"
    }
    cp "$lock" "$stamp"
    printf 'Installed.\n'
}
