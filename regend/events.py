"""The versioned event contract: every type that the daemon emits, and what an event is.

A type's meaning never changes: a changed meaning is a new version (`…:v2`). Clients ignore types
they do not know. `seq` grows over the whole store; `job_seq` grows within a job without gaps.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

JOB_CREATED: Final = "job:created:v1"
JOB_STATE: Final = "job:state:v1"
JOB_PROGRESS: Final = "job:progress:v1"
JOB_STEP: Final = "job:step:v1"
JOB_CHECKPOINT: Final = "job:checkpoint:v1"
JOB_RESUMED: Final = "job:resumed:v1"
JOB_TAKEOVER: Final = "job:takeover:v1"
JOB_WISHED: Final = "job:wished:v1"  # what became of what a person asked on another device
JOB_BESIDE: Final = "job:beside:v1"  # what was kept beside its history when the mesh was left
JOB_COMPLETED: Final = "job:completed:v1"
JOB_FAILED: Final = "job:failed:v1"
JOB_CANCELLED: Final = "job:cancelled:v1"
MODEL_CHUNK: Final = "model:chunk:v1"
MODEL_COMPLETE: Final = "model:complete:v1"
SEARCH_RESULT: Final = "search:result:v1"
TOOL_CALL: Final = "tool:call:v1"
TOOL_RESULT: Final = "tool:result:v1"
APPROVAL_REQUESTED: Final = "approval:requested:v1"
APPROVAL_DECIDED: Final = "approval:decided:v1"
# Of no job: they are this home's own, and are told to no other device.
DEVICE_ONLINE: Final = "device:online:v1"
DEVICE_OFFLINE: Final = "device:offline:v1"
SYNC_PROGRESS: Final = "sync:progress:v1"

EVENT_TYPES: Final = frozenset(
    value for name, value in list(globals().items()) if name.isupper() and isinstance(value, str)
)

JOB_ENDINGS: Final = (JOB_COMPLETED, JOB_FAILED, JOB_CANCELLED)

# What an agent in a worker may emit itself; the rest is the engine's to say.
WORKER_EVENT_TYPES: Final = frozenset(
    {MODEL_CHUNK, MODEL_COMPLETE, SEARCH_RESULT, TOOL_CALL, TOOL_RESULT, JOB_PROGRESS, JOB_RESUMED}
)


@dataclass(frozen=True, slots=True)
class Event:
    """One durable event, as stored and as shown.

    Attributes:
        seq: place in the whole store.
        job_id: the job it tells of; None for one about the person's devices.
        job_seq: place within the job, from 1, without gaps; None where there is no job.
        type: a name of `EVENT_TYPES`.
        at: RFC 3339 time of its commit.
        data: JSON text of the payload object.
    """

    seq: int
    job_id: str | None
    job_seq: int | None
    type: str
    at: str
    data: str

    def to_json(self) -> str:
        """Return the event as the JSON object of the contract, without parsing its payload."""
        job = f'"{self.job_id}","job_seq":{self.job_seq}'
        if self.job_id is None:
            job = 'null,"job_seq":null'
        return (
            f'{{"seq":{self.seq},"job_id":{job},'
            f'"type":"{self.type}","at":"{self.at}","data":{self.data}}}'
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the event as a Python object with its payload parsed."""
        parsed: dict[str, Any] = json.loads(self.to_json())
        return parsed
