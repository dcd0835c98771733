"""The worker: runs one attempt of one job, and ends.

It has no database and no keys; it knows its wire to the daemon and, through a lease, a model host.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable
from typing import Any

from regend.errors import Failed, RegendError
from regend.jobs.frames import Frame
from regend.jsontext import dumps, loads
from regend.worker.channel import Channel, rename_argument
from regend.worker.generation import GeneratingRuntime
from regend.worker.runtime import Parked, Stopped


def main(argv: list[str]) -> int:
    """Wait for a job, run its agent, say how it ended.

    Args:
        argv: the placeholder that the job's id replaces in the list of processes.
    """
    channel = Channel()
    channel.send({"op": "hello", "pid": os.getpid()})
    begin = channel.begun.get()
    if argv:
        rename_argument(argv[0], begin["job_id"])
    channel.send({"op": "end", **_attempt(channel, begin)})
    return 0


def _attempt(channel: Channel, begin: Frame) -> dict[str, Any]:
    """Run the program and return how the attempt ended."""
    try:
        program = _load(begin["program"])
        result = dumps(program(GeneratingRuntime(channel, begin)))
        loads(result)  # what clients cannot be shown is refused
        return {"kind": "completed", "result": result}
    except Stopped:
        return {"kind": "released"}
    except Parked as parked:
        return {"kind": "parked", "waiting": parked.waiting}
    except RegendError as error:
        return {"kind": "failed", "error": _sayable(error.to_dict())}
    except Exception as error:
        # The outermost loop of the agent: its faults end its job, with a reason, and nothing else.
        logging.exception("the agent failed")
        return {
            "kind": "failed",
            "error": _sayable(
                {
                    "code": "agent_error",
                    "message": f"The agent failed: {type(error).__name__}: {error}",
                    "hint": "The daemon's log has the details.",
                    "retryable": True,
                }
            ),
        }


def _sayable(error: dict[str, Any]) -> dict[str, Any]:
    """Return an error whose texts can leave the worker, whatever the agent put into them."""
    return {
        name: value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value
        for name, value in error.items()
    }


def _load(program: str) -> Callable[[GeneratingRuntime], Any]:
    module, _, name = program.partition(":")
    if not module:
        raise Failed("no_program", "This daemon has no agent for this type of job.")
    found: Callable[[GeneratingRuntime], Any] = getattr(importlib.import_module(module), name)
    return found
