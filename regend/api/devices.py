"""Calls about the person's devices and the mesh between them."""

from __future__ import annotations

from typing import Any, Protocol

from regend.api.call import Call
from regend.api.endpoints import (
    API,
    EVENTS,
    EVENTS_QUERY,
    JOB,
    Endpoint,
    listing,
)
from regend.api.sse import EventStream
from regend.jsonschema import Schema, fields, flag, optional, text
from regend.limits import MAX_TITLE_CHARACTERS
from regend.sync.names import NAME_CHARACTERS

# The bound is of what is sent: a name may get shorter before it is measured.
_NAME = text(
    minLength=1,
    maxLength=MAX_TITLE_CHARACTERS,
    description=f"a name of at most {NAME_CHARACTERS} characters",
)
_MESH: Schema = {"type": ["string", "null"]}
_DEVICES = listing("devices", mesh=_MESH)


class Devices(Protocol):
    """What these calls need of the mesh."""

    async def devices(self) -> dict[str, Any]:
        """Return the devices of the mesh."""

    def report(self) -> dict[str, Any]:
        """Return what was tried to reach the others."""

    async def invite(self, name: str | None) -> dict[str, Any]:
        """Open an invite and return its code."""

    async def join(
        self, code: str, address: str | None, name: str | None, leave: bool
    ) -> dict[str, Any]:
        """Join the mesh of the device that shows a code."""

    async def revoke(self, device: str) -> dict[str, Any]:
        """Put a device out of the mesh."""

    async def rename(self, device: str, name: str) -> dict[str, Any]:
        """Give a device another name."""

    async def takeover(self, user: str, job_id: str, force: bool) -> dict[str, Any]:
        """Let a job that another device runs go on here."""


class DeviceCalls:
    """Handlers of `/devices`, `/mesh` and of jobs that move."""

    def __init__(self, mesh: Devices, streams: EventStream) -> None:
        self._mesh = mesh
        self._streams = streams

    def endpoints(self) -> list[Endpoint]:
        """Return the table of these calls."""
        return [*self._seeing(), *self._pairing(), *self._of_one(), self._of_a_job()]

    def _seeing(self) -> list[Endpoint]:
        position = {"description": "Position before it", "type": "integer"}
        return [
            Endpoint(
                "GET",
                API + "/devices",
                self.devices,
                "Your devices, and how far each is",
                "devices:read",
                answers=listing("devices", mesh=_MESH, seq=position),
            ),
            Endpoint(
                "GET",
                API + "/devices/events",
                self.events,
                "Who came and went, and how far each sync is, as a page or as server-sent events",
                "devices:read",
                query=EVENTS_QUERY,
                answers=EVENTS,
                media=("text/event-stream",),
            ),
            Endpoint(
                "GET",
                API + "/mesh",
                self.report,
                "What was tried to reach the other devices",
                "devices:read",
            ),
        ]

    def _pairing(self) -> list[Endpoint]:
        return [
            Endpoint(
                "POST",
                API + "/devices/invite",
                self.invite,
                "Show a code by which another device joins",
                "devices:write",
                body=fields(name=optional(_NAME)),
                body_required=False,
                errors=(409, 422, 429),
            ),
            Endpoint(
                "POST",
                API + "/devices/join",
                self.join,
                "Join the mesh of the device that shows a code",
                "devices:write",
                body=fields(
                    "code",
                    code=text(minLength=1, maxLength=1000),
                    address=optional(text(maxLength=300)),
                    name=optional(_NAME),
                    leave=optional(flag(default=False)),
                ),
                answers=_DEVICES,
                errors=(404, 409, 422, 429),
            ),
        ]

    def _of_one(self) -> list[Endpoint]:
        device = API + "/devices/{device_id}"
        return [
            Endpoint(
                "POST",
                device + "/rename",
                self.rename,
                "Give a device another name",
                "devices:write",
                body=fields("name", name=_NAME),
                answers=_DEVICES,
                errors=(404, 409, 422),
            ),
            Endpoint(
                "DELETE",
                device,
                self.revoke,
                "Put a device out of the mesh",
                "devices:write",
                answers=_DEVICES,
                errors=(404, 409, 422),
            ),
        ]

    def _of_a_job(self) -> Endpoint:
        return Endpoint(
            "POST",
            API + "/jobs/{job_id}/takeover",
            self.takeover,
            "Let a job that another device runs go on here",
            "jobs:write",
            body=fields(force=optional(flag(default=False))),
            body_required=False,
            status=202,
            answers=JOB,
            errors=(404, 409, 422),
        )

    async def devices(self, call: Call) -> dict[str, Any]:
        """List the devices, with a position from which `events` tells what changes after."""
        seq = await self._streams.position()
        return {**await self._mesh.devices(), "seq": seq}

    async def events(self, call: Call) -> Any:
        """Return a page of events about devices, or stream them."""
        if call.wants_stream():
            return await self._streams.serve_devices(call)
        page = await self._streams.of_devices(call.query["after_seq"], call.query["limit"])
        return {"events": [event.to_dict() for event in page]}

    async def invite(self, call: Call) -> dict[str, Any]:
        """Open an invite."""
        return await self._mesh.invite(call.body["name"])

    async def join(self, call: Call) -> dict[str, Any]:
        """Join a mesh."""
        return await self._mesh.join(**call.body)

    async def rename(self, call: Call) -> dict[str, Any]:
        """Rename a device."""
        return await self._mesh.rename(call.path("device_id"), call.body["name"])

    async def revoke(self, call: Call) -> dict[str, Any]:
        """Revoke a device."""
        return await self._mesh.revoke(call.path("device_id"))

    async def report(self, call: Call) -> dict[str, Any]:
        """Tell how the others are reached."""
        return self._mesh.report()

    async def takeover(self, call: Call) -> dict[str, Any]:
        """Take a job over."""
        return await self._mesh.takeover(call.user, call.path("job_id"), call.body["force"])
