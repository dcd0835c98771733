"""Bringing the model of a demonstration, with a bar while it is downloaded."""

from __future__ import annotations

from regend import events
from regend.cli.text import size
from regend.client import Client, StreamEvent
from regend.demo.screen import Screen
from regend.errors import Failed

MODEL = "smollm2-135m"


async def bring_model(client: Client, screen: Screen, where: str = "") -> None:
    """Let a daemon pull the model, and say that it is verified.

    Args:
        where: said behind the model, if several daemons bring it.

    Raises:
        Failed: it could not be brought; the hint is the daemon's.
    """
    known = next(one for one in await client.models.list() if one["name"] == MODEL)
    job = await client.models.pull(MODEL)
    with screen.bar() as bar:
        task = bar.add_task(f"the model {MODEL}", total=known["size_bytes"])
        async with client.stream(jobs=[job["id"]], after_seq=0) as stream:
            async for item in stream:
                if not isinstance(item, StreamEvent):
                    continue
                if item.type == events.JOB_PROGRESS:
                    done = known["size_bytes"] * item.data["progress"] / 100
                    bar.update(task, completed=done)
                if item.type in events.JOB_ENDINGS:
                    break
    ended = await client.jobs.get(job["id"])
    if ended["state"] != "completed":
        error = ended["error"] or {}
        raise Failed(
            "demo_pull",
            f"The model could not be brought here. {error.get('message', '')}",
            hint=str(error.get("hint", "")),
        )
    said = f"the model {MODEL}, {size(known['size_bytes'])}, is verified by its SHA-256{where}"
    screen.line(said)
