"""The map of ARCHITECTURE.md is kept: who imports whom, from where, and how large things grow."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "regend"
LAYERS = ("ground", "pure", "store", "shells", "agents", "surface", "roots")

# What a layer may import of others that stand in the same one: only downwards in this order.
SAME_LAYER_ORDER = {
    "store": ("store", "jobs", "library", "sync", "api"),
    "shells": ("models", "library", "jobs", "sync"),
    "surface": ("client", "web", "api", "cli"),
    "roots": ("worker", "maintenance", "services", "mesh", "daemon", "demo"),
}

# From a higher layer than one's own: each with the reason why it is right.
EXCEPTIONS = {
    ("regend/cli", "roots"): "`regend serve` and `regend demo` start what they name",
}

# Imports inside a function: those of the command line, where each command loads what it needs,
# and a few more.
LATE_IMPORTS = {
    "regend/cli": "commands start fast: each imports what it needs",
    "regend/__main__.py": "a worker must not load the command line, nor it the worker",
    "regend/home.py": "platformdirs is a tenth of a short command's start",
    "regend/daemon.py": "`resource` is only where the system has it",
    "regend/library/extractor.py": "readers of formats are heavy, `resource` is not on Windows",
    "regend/models/host.py": "xllamacpp is heavy, and only a model host needs it",
    "regend/demo": "the demonstration loads what its part needs",
}

IMPURE = {
    *("asyncio", "sqlite3", "socket", "time", "random", "secrets", "threading", "subprocess"),
    *("aiohttp", "os", "uuid", "urllib.request", "http.client", "tempfile"),
}
# Of third parties, pure code needs codecs and ciphers only: bytes in, bytes out.
PURE_PARTIES = {"regend", "msgpack", "nacl", "cryptography", "spake2", "zstandard"}

# Of those who speak to the daemon over a wire, who reaches for the home's files, and through what.
FILE_USERS = {
    "regend/cli/backup.py": {"regend/store/backup.py", "regend/store/restore.py"},
    "regend/cli/checks.py": {"sqlite3"},  # `doctor` reads
    "regend/cli/diagnostics.py": {"sqlite3"},  # reads too
    "regend/cli/serve.py": {"regend/store/lock.py"},  # `stop` asks who holds it
}

MODULE_LINES, FUNCTION_LINES, CLASS_LINES = 400, 60, 250

# What is larger than it should be, and how large: it may shrink, not grow, and then leaves here.
LARGE = {
    "regend/client/protocol.py:StreamProtocol": 318,
    "regend/client/stream.py:Stream": 290,
    "tests/client/test_rest.py:test_each_call_goes_where_the_contract_says": 71,
}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


MODULES = sorted(name(path) for path in PACKAGE.rglob("*.py"))
TESTS = sorted(name(path) for path in (ROOT / "tests").rglob("*.py"))


@cache
def tree(module: str) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"))


@cache
def table() -> dict[str, str]:
    """Return the layer of each place that ARCHITECTURE.md's table names."""
    places: dict[str, str] = {}
    for line in (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and cells[0] in LAYERS:
            for written in re.findall(r"`([^`]+)`", cells[1]):
                for place in expanded(written):
                    assert place not in places, f"{place} stands in two layers"
                    places[place] = cells[0]
    return places


def expanded(written: str) -> list[str]:
    """Return `jobs/{a,b}` as `jobs/a` and `jobs/b`."""
    found = re.fullmatch(r"(.*){(.*)}(.*)", written)
    if not found:
        return [written]
    return [f"{found[1]}{one.strip()}{found[3]}" for one in found[2].split(",")]


def layer(module: str) -> str | None:
    """Return the layer of a module: that of the nearest place that the table names."""
    parts = module.removeprefix("regend/").removesuffix(".py").removesuffix("/__init__")
    places = table()
    if parts in places:
        return places[parts]
    while parts:
        if f"{parts}/" in places:
            return places[f"{parts}/"]
        parts = parts.rpartition("/")[0]
    return None


def package(module: str) -> str:
    return module.split("/")[1].removesuffix(".py")


def module_of(dotted: str) -> str | None:
    """Return the file of a dotted name, None where it is not a module of ours."""
    path = ROOT / dotted.replace(".", "/")
    if path.with_suffix(".py").is_file():
        return name(path.with_suffix(".py"))
    return name(path / "__init__.py") if (path / "__init__.py").is_file() else None


@cache
def imported(module: str) -> tuple[tuple[str, int], ...]:
    """Return the dotted names that a module imports, with the line."""
    return tuple(_imported(module))


def _imported(module: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno} imports relatively"
            base = node.module or ""
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield (inner if module_of(inner) else base), node.lineno


@cache
def ours(module: str) -> tuple[tuple[str, int], ...]:
    """Return the modules of this project that a module imports."""
    return tuple(_ours(module))


def _ours(module: str) -> Iterator[tuple[str, int]]:
    for dotted, line in imported(module):
        found = module_of(dotted) if dotted.split(".")[0] == "regend" else None
        if found is not None and found != module and found != "regend/__init__.py":
            yield found, line


def is_exception(module: str, wanted: str) -> bool:
    return any(module.startswith(who) and wanted == what for who, what in EXCEPTIONS)


def test_the_table_names_every_module_and_nothing_that_is_not_there() -> None:
    assert set(table().values()) == set(LAYERS)
    entry_points = {"regend/__init__.py", "regend/__main__.py"}
    lost = [one for one in MODULES if one not in entry_points and layer(one) is None]
    empty_packages = [one for one in lost if one.endswith("__init__.py") and not list(ours(one))]
    assert set(lost) == set(empty_packages), "ARCHITECTURE.md does not say where these stand"
    for place in table():
        path = PACKAGE / place.rstrip("/")
        assert path.is_dir() or path.with_suffix(".py").is_file(), f"there is no {place}"


@pytest.mark.parametrize("module", [one for one in MODULES if layer(one) is not None])
def test_a_module_imports_only_from_below_or_from_its_own_package(module: str) -> None:
    own = layer(module)
    assert own is not None
    for wanted, line in ours(module):
        theirs = layer(wanted)
        if theirs is None or package(wanted) == package(module) or is_exception(module, theirs):
            continue
        place = f"{module}:{line} ({own}) imports {wanted} ({theirs})"
        if own == "agents":
            # Agents know the durable context and pure code; no store, no shell.
            assert theirs in ("ground", "pure"), place
        elif theirs != own:
            assert LAYERS.index(theirs) < LAYERS.index(own), place
        elif own not in ("ground", "pure"):
            order = SAME_LAYER_ORDER[own]
            assert order.index(package(wanted)) < order.index(package(module)), place


@pytest.mark.parametrize("module", [one for one in MODULES if layer(one) == "pure"])
def test_pure_code_needs_no_clock_chance_socket_or_database(module: str) -> None:
    for dotted, line in imported(module):
        top = dotted.split(".")[0]
        assert dotted not in IMPURE and top not in IMPURE, f"{module}:{line} imports {dotted}"
        known = top in sys.stdlib_module_names or top in PURE_PARTIES
        assert known, f"{module}:{line} imports {dotted}"


@pytest.mark.parametrize("module", [one for one in MODULES if layer(one) == "ground"])
def test_the_ground_stands_on_the_standard_library(module: str) -> None:
    for dotted, line in imported(module):
        top = dotted.split(".")[0]
        allowed = top in sys.stdlib_module_names or top in ("regend", "platformdirs")
        assert allowed, f"{module}:{line} imports {dotted}"


def test_jobs_and_library_never_import_one_another() -> None:
    apart = ("jobs", "library", "sync", "skills")
    for module in MODULES:
        for wanted, line in ours(module):
            pair = (package(module), package(wanted))
            forbidden = pair[0] in apart and pair[1] in apart and pair[0] != pair[1]
            assert not forbidden, f"{module}:{line} imports {wanted}"


def test_only_the_daemon_opens_the_database_and_a_few_that_are_named() -> None:
    for module in MODULES:
        if package(module) in ("cli", "client", "agents", "worker"):
            wanted = {one for one, _ in ours(module)} | {one for one, _ in imported(module)}
            reached = {one for one in wanted if one.startswith("regend/store/") or one == "sqlite3"}
            assert reached == FILE_USERS.get(module, set()), module


def test_no_circle_of_imports_between_packages() -> None:
    wants: dict[str, set[str]] = {}
    for module in MODULES:
        if module.startswith("regend/cli/") or module == "regend/__main__.py":
            continue  # the roots start from there
        for wanted, _ in ours(module):
            if layer(module) == layer(wanted) and package(wanted) != package(module):
                wants.setdefault(package(module), set()).add(package(wanted))
    done: set[str] = set()

    def visit(one: str, path: tuple[str, ...]) -> None:
        assert one not in path, " → ".join((*path, one))
        if one not in done:
            for next_one in wants.get(one, ()):
                visit(next_one, (*path, one))
            done.add(one)

    for one in list(wants):
        visit(one, ())


@pytest.mark.parametrize("module", MODULES)
def test_no_circle_of_imports_hides_from_the_interpreter(module: str) -> None:
    assert "TYPE_CHECKING" not in (ROOT / module).read_text(encoding="utf-8")


def test_no_circle_of_imports_between_modules() -> None:
    top_level = {
        module: {
            wanted
            for wanted, line in ours(module)
            if line in {node.lineno for node in tree(module).body}
        }
        for module in MODULES
    }
    done: set[str] = set()

    def visit(one: str, path: tuple[str, ...]) -> None:
        assert one not in path, " → ".join((*path[path.index(one) :], one))
        if one not in done:
            for next_one in sorted(top_level[one]):
                visit(next_one, (*path, one))
            done.add(one)

    for module in MODULES:
        visit(module, ())


def test_imports_stand_at_the_top_but_for_a_few_with_a_reason() -> None:
    used = set()
    for module in MODULES:
        for function in ast.walk(tree(module)):
            if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            for node in ast.walk(function):
                if isinstance(node, (ast.Import, ast.ImportFrom)):
                    reasons = [place for place in LATE_IMPORTS if module.startswith(place)]
                    assert reasons, f"{module}:{node.lineno} imports inside a function"
                    used.update(reasons)
    assert set(LATE_IMPORTS) - used <= {"regend/demo", "regend/cli"}, "reasons without an import"


def sizes(module: str) -> Iterator[tuple[str, int, int]]:
    """Yield module, classes and functions with their lines and how many they may have."""
    lines = len((ROOT / module).read_text(encoding="utf-8").splitlines())
    yield module, lines, MODULE_LINES if module in MODULES else MODULE_LINES + 50
    for node in ast.walk(tree(module)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            bound = CLASS_LINES if isinstance(node, ast.ClassDef) else FUNCTION_LINES
            if node.name == "endpoints":
                bound = 2 * FUNCTION_LINES  # a table, not a program
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            yield f"{module}:{node.name}", length, bound


@pytest.mark.parametrize("module", [*MODULES, *TESTS])
def test_nothing_grows_without_bound(module: str) -> None:
    for what, lines, bound in sizes(module):
        assert lines <= LARGE.get(what, bound), f"{what} has {lines} lines"


def test_what_is_no_longer_large_is_not_excused() -> None:
    found = {
        what for one in (*MODULES, *TESTS) for what, lines, bound in sizes(one) if lines > bound
    }
    assert found >= set(LARGE)


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_what_it_is_for(module: str) -> None:
    said = ast.get_docstring(tree(module))
    assert said and len(said) > 10


@pytest.mark.parametrize("module", MODULES)
def test_no_child_imports_from_the_folder_it_happens_to_start_in(module: str) -> None:
    source = (ROOT / module).read_text(encoding="utf-8")
    started = re.findall(r"sys\.executable,\s*([^,\s]+)", source)
    assert set(started) <= {'"-P"'}
    assert source.count("sys.executable") == len(started), "arguments that this test cannot read"
