"""`regend jobs cancel|pause|resume|retry|fork|takeover`: what a person may ask of a job."""

from __future__ import annotations

from typing import Any

import click

from regend.cli.command import Command, as_json, job_id, job_ids
from regend.cli.daemon import Daemon, new_key, quote
from regend.cli.names import DeviceNames
from regend.cli.terminal import out, out_json, out_prose, say
from regend.cli.text import count, line
from regend.cli.view import short_id
from regend.errors import RegendError


@click.command(
    "cancel",
    cls=Command,
    short_help="Cancel jobs for good; what they finished is kept.",
    examples=["regend jobs cancel 019ab3f2"],
)
@job_ids
@as_json
def cancel(jobs: tuple[str, ...], json_output: bool) -> int:
    """Cancel jobs for good; what they finished is kept and can be forked."""
    said = {"cancelled": "cancelled", "running": "is being cancelled"}
    return _each(jobs, "cancel", said, json_output)


@click.command("pause", cls=Command, examples=["regend jobs pause 019ab3f2"])
@job_ids
@as_json
def pause(jobs: tuple[str, ...], json_output: bool) -> int:
    """Pause jobs at their next checkpoint; nothing is lost."""
    said = {"paused": "paused", "running": "pauses at its next checkpoint"}
    return _each(jobs, "pause", said, json_output)


@click.command("retry", cls=Command, examples=["regend jobs retry 019ab3f2"])
@job_ids
@as_json
def retry(jobs: tuple[str, ...], json_output: bool) -> int:
    """Let failed jobs try again; finished steps are kept."""
    return _each(jobs, "retry", {"created": "tries again"}, json_output)


@click.command(
    "resume",
    cls=Command,
    examples=["regend jobs resume 019ab3f2", "regend jobs resume 019ab3f2 --choice go_on -f"],
)
@job_id
@click.option("--choice", help="Answer of a job that waits for one (see jobs show).")
@click.option("-f", "--follow", is_flag=True, help="Watch it go on.")
@as_json
def resume(job: str, choice: str | None, follow: bool, json_output: bool) -> int:
    """Let a paused or waiting job go on from its last checkpoint.

    Says from where, how many finished steps are kept, and on which device.
    """
    daemon = Daemon()
    before = daemon.get(f"/jobs/{quote(job)}")
    path = f"/jobs/{quote(before['id'])}"
    resumed = daemon.post(f"{path}/resume", {} if choice is None else {"choice": choice})
    places = daemon.get(f"{path}/checkpoints")["checkpoints"]
    if json_output:
        out_json(resumed)
    else:
        devices = DeviceNames(daemon)
        elsewhere = devices.elsewhere(resumed["device"])
        if elsewhere is not None and resumed["state"] == before["state"]:
            out_prose(passed_on(resumed, "resume", elsewhere))
        else:
            out_prose(resumption(resumed, places, devices))
    return _watch(daemon, resumed, before["last_seq"]) if follow else 0


def passed_on(job: dict[str, Any], verb: str, device: str) -> str:
    """Return the sentence for what another device was asked to do, now or once it is reached."""
    short = short_id(job["id"])
    return (
        f"{short} runs on {device}, which is asked to {verb} it, now or once it is reached. What "
        f"becomes of it: regend jobs logs {short}"
    )


def resumption(job: dict[str, Any], places: list[dict[str, Any]], devices: DeviceNames) -> str:
    """Return the sentence that says from where a job goes on."""
    done = [place for place in places if place["kind"] == "step"]
    inside = next((place for place in places if place["kind"] == "generation"), None)
    if inside is not None:
        start = f"step {inside['step']}, token {inside['position']}"
    elif done:
        start = f"the end of step {done[-1]['step']} (“{line(done[-1]['name'])}”)"
    else:
        start = "its beginning"
    kept = "no step was finished yet" if not done else f"{count(len(done), 'step')} kept"
    where = devices[job["device"]]
    return f"{short_id(job['id'])} goes on from {start}; {kept}; on {where}."


@click.command(
    "fork",
    cls=Command,
    short_help="Begin a new job from a checkpoint of another.",
    examples=["regend jobs fork 019ab3f2", "regend jobs fork 019ab3f2 --step 2"],
)
@job_id
@click.option(
    "--step",
    type=click.IntRange(min=0),
    help="Last step that both share; 0 for none. All finished ones by default.",
)
@click.option("-f", "--follow", is_flag=True, help="Watch the new job.")
@as_json
def fork(job: str, step: int | None, follow: bool, json_output: bool) -> int:
    """Begin a new job from a checkpoint of another; the other stays as it is."""
    daemon = Daemon()
    body = {} if step is None else {"step": step}
    new = daemon.post(f"/jobs/{quote(job)}/fork", body, key=new_key())
    if json_output:
        out_json(new)
    else:
        out(new["id"])
        say(f"Forked. Watch it: regend jobs logs -f {short_id(new['id'])}")
    return _watch(daemon, new, 0) if follow else 0


@click.command(
    "takeover",
    cls=Command,
    short_help="Let a job of another device go on here.",
    examples=["regend jobs takeover 019ab3f2", "regend jobs takeover 019ab3f2 --force"],
)
@job_id
@click.option("--force", is_flag=True, help="Though that device is away, from what is known here.")
@click.option("-f", "--follow", is_flag=True, help="Watch it go on.")
@as_json
def takeover(job: str, force: bool, follow: bool, json_output: bool) -> int:
    """Let a job that another of your devices runs go on here, from its last checkpoint.

    That device is asked, stops at a checkpoint and gives the job away. Where it is away, --force
    goes on from what is known here; if it still runs the job, steps may run twice, and both are
    told.
    """
    daemon = Daemon()
    before = daemon.get(f"/jobs/{quote(job)}")
    path = f"/jobs/{quote(before['id'])}"
    taken = daemon.post(f"{path}/takeover", {"force": True} if force else {})
    if json_output:
        out_json(taken)
    else:
        places = daemon.get(f"{path}/checkpoints")["checkpoints"]
        out_prose(resumption(taken, places, DeviceNames(daemon)))
    return _watch(daemon, taken, before["last_seq"]) if follow else 0


def _watch(daemon: Daemon, job: dict[str, Any], after_seq: int) -> int:
    from regend.cli.results import follow_to_result

    return follow_to_result(daemon, job, json_output=False, after_seq=after_seq)


def _each(jobs: tuple[str, ...], verb: str, said: dict[str, str], json_output: bool) -> int:
    """Ask one thing of each job; one that refuses does not keep the others from being asked.

    Args:
        said: by the state that a job is in then, what to say of it; first the state that was asked.
    """
    from regend.cli.failure import exit_code, report

    daemon, code = Daemon(), 0
    devices = DeviceNames(daemon)
    changed: list[dict[str, Any]] = []
    for job in jobs:
        try:
            answer = daemon.post(f"/jobs/{quote(job)}/{verb}", {})
        except RegendError as error:
            report(error, as_json=json_output)
            code = code or exit_code(error)
            continue
        changed.append(answer)
        if json_output:
            continue
        elsewhere = devices.elsewhere(answer["device"])
        if elsewhere is not None and answer["state"] != next(iter(said)):
            out_prose(passed_on(answer, verb, elsewhere))
        else:
            word = said.get(answer["state"], f"is {answer['state']}")
            out_prose(f"{short_id(answer['id'])} {word}: {line(answer['title'])}")
    if json_output:
        out_json({"jobs": changed})
    return code
