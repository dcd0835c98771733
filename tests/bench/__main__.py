"""Runs a benchmark by name: `python -m tests.bench NAME [options]`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def _names() -> list[str]:
    modules = Path(__file__).parent.glob("[!_]*.py")
    return sorted(module.stem for module in modules)


def _run(arguments: list[str]) -> int:
    """Run the benchmark that the first argument names with the rest; return the exit code."""
    if not arguments or arguments[0] not in _names():
        print(f"usage: python -m tests.bench NAME [options]\nNAME: {', '.join(_names())}")
        return 2
    importlib.import_module(f"tests.bench.{arguments[0]}").main(arguments[1:])
    return 0


if __name__ == "__main__":
    sys.exit(_run(sys.argv[1:]))
