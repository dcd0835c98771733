"""What children find in their environment, and that none is started with more."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from regend.environment import for_child, for_pip

SHELL = {
    "PATH": "/bin",
    "HOME": "/home/someone",
    "LC_ALL": "hi_IN.UTF-8",
    "SystemRoot": "C:\\Windows",
    "PYTHONPATH": "/src",
    "REGEND_HOME": "/home/someone/regend",
    "OMP_NUM_THREADS": "2",
    "OPENAI_API_KEY": "sk-1",
    "AWS_SECRET_ACCESS_KEY": "aws",
    "GITHUB_TOKEN": "gh",
    "NVIDIA_API_KEY": "nv",
    "PYTHONANYWHERE_TOKEN": "py",
    "https_proxy": "http://user:secret@proxy:3128",
    "PIP_INDEX_URL": "https://user:secret@mirror/simple",
}
OF_PIP = {"https_proxy", "PIP_INDEX_URL"}
SECRET = {
    *("OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN"),
    *("NVIDIA_API_KEY", "PYTHONANYWHERE_TOKEN"),
}

PACKAGE = Path(__file__).parents[1] / "regend"
START_DAEMONS = ("cli", "demo")


def test_a_child_is_given_what_it_needs_to_run_and_no_key_of_another_service() -> None:
    assert set(for_child(SHELL)) == set(SHELL) - SECRET - OF_PIP


def test_pip_is_told_the_proxy_and_the_index_besides() -> None:
    assert set(for_pip(SHELL)) == set(SHELL) - SECRET


def test_whoever_starts_a_child_says_what_it_finds_in_its_environment() -> None:
    started = 0
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] in START_DAEMONS:
            continue
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and "sys.executable" in map(ast.unparse, _given(call)):
                said = [ast.unparse(one.value) for one in call.keywords if one.arg == "env"]
                assert said and re.search(r"for_(child|pip)\(", said[0]), ast.unparse(call)
                started += 1
    assert started >= 4


def _given(call: ast.Call) -> Iterator[ast.expr]:
    """Yield the arguments of a call, with those that a `*(…)` spells out."""
    for given in call.args:
        spread = given.value if isinstance(given, ast.Starred) else given
        yield from spread.elts if isinstance(spread, ast.Tuple) else [spread]
