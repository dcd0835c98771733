"""The demonstration from its first line to its verdict."""

from __future__ import annotations

import os
import shlex
import sysconfig
import time
from pathlib import Path
from typing import Any

import aiohttp

from regend.client import Client
from regend.demo.model import MODEL, bring_model
from regend.demo.processes import DaemonProcess, find_workers, start_daemon
from regend.demo.readmes import Readme, readmes
from regend.demo.run import Run, follow
from regend.demo.screen import Screen
from regend.errors import Failed
from regend.home import Home
from regend.processes import kill

QUESTION = "What is justext good for?"
SOURCE = "jusText"
FACTS = ("boilerplate", "html")
SEED = 7
_TRIES = 3  # a busy machine may be slow to kill

_PROMISE = (
    "One question, asked three times. The second and the third time, what works on the answer is "
    "killed in the middle of it. Nothing leaves this machine."
)


async def tell(home: Home, screen: Screen) -> bool:
    """Run the demonstration; return whether every claim held.

    Raises:
        RegendError: it could not be run to its end.
    """
    began = time.monotonic()
    stage = _Stage(home, screen)
    try:
        screen.paragraph(_PROMISE)
        await stage.prepare()
        undisturbed = await stage.ask("1. Undisturbed", None)
        screen.answer(undisturbed.result)
        worker = await stage.ask("2. The worker is killed in mid-answer", stage.kill_worker)
        daemon = await stage.ask("3. The daemon is killed in mid-answer", stage.kill_daemon)
    finally:
        await stage.close()
    return _verdict(screen, undisturbed, worker, daemon, time.monotonic() - began)


class _Stage:
    """The daemon of the demonstration and its client."""

    def __init__(self, home: Home, screen: Screen) -> None:
        self._home = home
        self._screen = screen
        self._daemon: DaemonProcess | None = None
        self._client = Client(home=home)

    async def prepare(self) -> None:
        """Start the daemon, bring the model, import the documents."""
        screen = self._screen
        screen.heading("A daemon, a model and documents")
        self._daemon = await start_daemon(self._home)
        screen.line(
            f"the daemon is ready after {self._daemon.started_in_s:.1f} s; "
            f"its home is {self._home.data_dir}"
        )
        await bring_model(self._client, self._screen)
        await self._import()

    async def ask(self, heading: str, disturb: Any) -> Run:
        """Ask the question once and return what came of it."""
        self._screen.heading(heading)
        if disturb is None:
            self._screen.line(QUESTION, "?")
        asked = {"question": QUESTION, "seed": SEED}
        run = await follow(self._client, asked, self._screen, disturb)
        for _ in range(_TRIES - 1):
            if disturb is None or run.resume:
                break
            self._screen.line("the answer was whole before the kill; once more")
            run = await follow(self._client, asked, self._screen, disturb)
        return run

    async def kill_worker(self, job_id: str) -> None:
        """Kill the process that runs the job."""
        assert self._daemon is not None
        workers = find_workers(self._daemon.pid, job_id)
        if not workers:
            raise Failed("demo_no_worker", "The worker of the job was not found.")
        for pid in workers:
            kill(pid)
        self._screen.blow(f"the worker, process {workers[0]}, is killed with SIGKILL")

    async def kill_daemon(self, job_id: str) -> None:
        """Kill the daemon, and start another on the same home."""
        assert self._daemon is not None
        self._daemon.kill()
        self._screen.blow(
            f"the daemon, process {self._daemon.pid}, is killed with SIGKILL; another starts"
        )
        await self._daemon.process.wait()
        self._daemon = await start_daemon(self._home)

    async def close(self) -> None:
        """End what the demonstration started."""
        await self._client.close()
        if self._daemon is not None:
            await self._daemon.stop()

    async def _import(self) -> None:
        began = time.monotonic()
        documents = readmes()
        if SOURCE not in {readme.package for readme in documents}:
            raise Failed("demo_readme", f"The README of {SOURCE} is not installed here.")
        for readme in documents:
            await self._add(readme)
        size_kb = sum(len(readme.text.encode()) for readme in documents) / 1000
        self._screen.line(
            f"the documents: {len(documents)} READMEs of the packages that are installed here "
            f"({size_kb:.0f} kB in {time.monotonic() - began:.1f} s)"
        )

    async def _add(self, readme: Readme) -> None:
        ending = "md" if readme.media_type == "text/markdown" else "txt"
        form = aiohttp.FormData()
        form.add_field(
            "file",
            readme.text.encode(),
            filename=f"{readme.package}.{ending}",
            content_type="text/markdown" if ending == "md" else "text/plain",
        )
        await self._client.request("POST", "/api/v1/library", form=form)


def _verdict(screen: Screen, undisturbed: Run, worker: Run, daemon: Run, elapsed_s: float) -> bool:
    """Show what was measured, and say plainly whether every claim held."""
    faults = [f"undisturbed: {fault}" for fault in undisturbed.faults(None)]
    faults += [f"worker killed: {fault}" for fault in worker.faults(undisturbed)]
    faults += [f"daemon killed: {fault}" for fault in daemon.faults(undisturbed)]
    answer = str(undisturbed.result["answer"]).lower()
    cited = {citation["title"].lower() for citation in undisturbed.result["citations"]}
    if not all(fact in answer for fact in FACTS) or not any(
        SOURCE.lower() in title for title in cited
    ):
        faults.append("the answer does not hold the fact, or does not cite its document")
    runs = (undisturbed, worker, daemon)
    screen.heading("What was left of the work")
    screen.table(
        ("", "undisturbed", "worker killed", "daemon killed"),
        [
            ("steps kept", *(_kept(run) for run in runs)),
            ("events, no gap, no duplicate", *(str(len(run.seen)) for run in runs)),
            ("tokens shown at the kill", *(_tokens(run) for run in runs)),
            ("kill to next new token", *(_time(run) for run in runs)),
            ("went on", *(run.resume or "–" for run in runs)),
            (
                "text as undisturbed",
                "–",
                *("yes" if run.text == undisturbed.text else "NO" for run in (worker, daemon)),
            ),
        ],
    )
    for fault in faults:
        screen.fault(f"Does not hold: {fault}.")
    if not faults:
        screen.heading(f"Everything held. ({elapsed_s:.0f} s)")
        screen.heading("Now with your own documents")
        screen.commands(_first_steps())
    return not faults


def _first_steps() -> list[str]:
    """Return what to type next, from where the demonstration was started."""
    steps = [
        "regend serve --background",
        f"regend models pull {MODEL}",
        "regend library add ~/Documents",
        'regend research "What do my documents say about …?"',
    ]
    scripts = Path(sysconfig.get_path("scripts"))
    if str(scripts) in os.environ.get("PATH", "").split(os.pathsep):
        return steps
    if os.name == "nt":
        return [str(scripts / "activate"), *steps]
    return [f". {shlex.quote(str(scripts / 'activate'))}", *steps]


def _kept(run: Run) -> str:
    return f"{len(run.kept)} of {len(run.steps)}" if run.shown_tokens else str(len(run.steps))


def _tokens(run: Run) -> str:
    return str(run.shown_tokens) if run.shown_tokens else "–"


def _time(run: Run) -> str:
    return "–" if run.resumed_in_s is None else f"{run.resumed_in_s:.2f} s"
