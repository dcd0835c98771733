"""What children find in their environment, and that none is started with more."""

from __future__ import annotations

import ast
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
NO_CHILD_OF_THE_DAEMON = "demo/processes.py"  # it starts daemons


def test_a_child_is_given_what_it_needs_to_run_and_no_key_of_another_service() -> None:
    assert set(for_child(SHELL)) == set(SHELL) - SECRET - OF_PIP


def test_pip_is_told_the_proxy_and_the_index_besides() -> None:
    assert set(for_pip(SHELL)) == set(SHELL) - SECRET


def test_whoever_starts_a_child_says_what_it_finds_in_its_environment() -> None:
    started = 0
    for path in PACKAGE.rglob("*.py"):
        if path.as_posix().endswith(NO_CHILD_OF_THE_DAEMON):
            continue
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and "create_subprocess" in ast.unparse(call.func):
                given = {one.arg: ast.unparse(one.value) for one in call.keywords}
                allowed = ("for_child(", "for_pip(")
                assert any(name in given.get("env", "") for name in allowed), ast.unparse(call)
                started += 1
    assert started >= 4
