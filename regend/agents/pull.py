"""Pull: brings a model to this device, as a job, so that it shows progress and can be cancelled."""

from __future__ import annotations

from typing import Any

from regend.agents.context import Context


def run(context: Context) -> dict[str, Any]:
    """Return `{name, path}` of the model that `input.name` means, once it is verified.

    Raises:
        RegendError: what the pull refused or failed at.
    """
    return context.step(
        "pull", lambda name: context.call("models.pull", name=name), context.input["name"]
    )
