"""`python -m regend`: the command line, and the processes that the daemon starts.

The internal processes skip the command line, so that they start in a fraction of its time.
"""

from __future__ import annotations

import sys


def main() -> int:
    """Run what the first argument names."""
    match sys.argv[1:2]:
        case ["worker"]:
            from regend.worker import main as run

            return run(sys.argv[2:])
        case _:
            from regend.cli import main as command

            return command() or 0


if __name__ == "__main__":
    sys.exit(main())
