"""The scripts that set regend up, in a checkout of their own with a Python that takes notes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("sh", "dirname", "cmp", "cp", "rm", "mkdir", "chmod", "cat", "awk", "df", "uname")

# Stands for every Python: what it is asked goes to `asked`; `venv` makes it again as .venv's.
PYTHON = """#!/bin/sh
printf '%s\\n' "$*" >> "$NOTES/asked"
case "$*" in
    *version_info*) [ ! -e "$NOTES/too-old" ] ;;
    *ensurepip*) [ ! -e "$NOTES/no-venv" ] ;;
    *libgomp*) [ ! -e "$NOTES/no-openmp" ] ;;
    *"-m venv "*) mkdir -p .venv/bin
        cp "$0" .venv/bin/python
        printf '#!/bin/sh\\necho ran "$@"\\n' > .venv/bin/regend
        chmod +x .venv/bin/regend ;;
    *"pip install"*) echo 'WARNING: a mirror of yours is odd.'
        echo 'Collecting aiohttp==3.14.5 (from -r requirements.lock (line 4))'
        [ ! -e "$NOTES/no-network" ] || { echo 'ERROR: no route to the host' >&2; exit 1; } ;;
esac
"""
DF = """#!/bin/sh
[ -e "$NOTES/no-space" ] || exec {df} "$@"
echo Filesystem 1024-blocks Used Available Capacity Mounted
echo disk 9000000 8950000 50000 99% /
"""


class Machine:
    """A fresh machine with a clone of the project and hardly anything else."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "a clone"
        self._bin = folder / "bin"
        self._notes = folder / "notes"
        for made in (self.checkout, self._bin, self._notes):
            made.mkdir()
        shutil.copytree(ROOT / "packaging", self.checkout / "packaging")
        for lock in ROOT.glob("requirements*.lock"):
            shutil.copy(lock, self.checkout)
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found is not None, tool
            (self._bin / tool).symlink_to(found)
        df = os.readlink(self._bin / "df")
        (self._bin / "df").unlink()
        self._put("df", DF.format(df=df))
        self._put("python3", PYTHON)

    def _put(self, name: str, text: str) -> None:
        (self._bin / name).write_text(text, encoding="utf-8")
        (self._bin / name).chmod(0o755)

    def lacks(self, name: str) -> None:
        (self._notes / name).touch()

    def mend(self, name: str) -> None:
        (self._notes / name).unlink()

    def without_python(self) -> None:
        (self._bin / "python3").unlink()

    def run(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        (self._notes / "asked").unlink(missing_ok=True)
        return subprocess.run(
            [str(self.checkout / "packaging" / script), *arguments],
            env={"PATH": str(self._bin), "NOTES": str(self._notes)},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
        )

    @property
    def installs(self) -> list[str]:
        """What pip was asked to install by the last run."""
        asked = (self._notes / "asked").read_text(encoding="utf-8").splitlines()
        return [line for line in asked if "pip install" in line]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("lack", "said"),
    [
        ("too-old", "no Python 3.11 or newer"),
        ("no-venv", "no venv module"),
        ("no-openmp", "libgomp.so.1, is missing"),
        ("no-space", "MB are needed"),
        ("no-network", "could not be installed"),
    ],
)
@pytest.mark.parametrize("script", ["demo.sh", "test.sh"])
def test_what_is_lacking_is_said_with_the_remedy_and_the_next_run_goes_on(
    machine: Machine, script: str, lack: str, said: str
) -> None:
    machine.lacks(lack)
    refused = machine.run(script)
    assert refused.returncode == 1
    assert said in refused.stderr and "What to do: " in refused.stderr
    assert lack == "no-network" or not (machine.checkout / ".venv").exists()
    machine.mend(lack)
    machine.run(script)
    assert machine.installs


def test_a_machine_without_python_is_told_how_to_get_it(machine: Machine) -> None:
    machine.without_python()
    refused = machine.run("demo.sh")
    assert refused.returncode == 1
    assert "apt install python3" in refused.stderr and "PYTHON=" in refused.stderr


def test_the_demonstration_is_installed_from_the_lock_by_hash_and_run_from_anywhere(
    machine: Machine,
) -> None:
    done = machine.run("demo.sh", "an argument")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "ran demo an argument"
    packages, own = machine.installs
    assert "--require-hashes -r requirements.lock" in packages
    assert "--only-binary :all:" in packages, "nothing is compiled"
    assert "--no-deps" in own and "--editable ." in own


def test_each_stage_is_told_in_a_line_and_what_pip_says_is_kept_in_a_file(
    machine: Machine,
) -> None:
    done = machine.run("demo.sh")
    stages = [line for line in done.stdout.splitlines() if " of 3 " in line]
    assert [line[:6] for line in stages] == ["1 of 3", "2 of 3", "3 of 3"]
    assert "WARNING" not in done.stdout + done.stderr and "\033" not in done.stdout
    log = machine.checkout / ".venv" / "install.log"
    assert "WARNING: a mirror of yours is odd." in log.read_text(encoding="utf-8")


def test_an_installation_that_fails_shows_the_last_that_pip_said(machine: Machine) -> None:
    machine.lacks("no-network")
    refused = machine.run("demo.sh")
    assert "| ERROR: no route to the host" in refused.stderr
    assert not (machine.checkout / ".venv" / "regend.lock").exists()


def test_a_second_run_installs_nothing_until_the_lock_changes(machine: Machine) -> None:
    machine.run("demo.sh")
    again = machine.run("demo.sh")
    assert (again.returncode, again.stdout) == (0, "ran demo\n")
    assert machine.installs == []
    with (machine.checkout / "requirements.lock").open("a", encoding="utf-8") as lock:
        lock.write("# another\n")
    machine.run("demo.sh")
    assert len(machine.installs) == 2


def test_the_demonstration_is_content_with_what_the_tests_installed(machine: Machine) -> None:
    machine.run("test.sh")
    assert "-r requirements-test.lock" in machine.installs[0]
    done = machine.run("demo.sh")
    assert (done.returncode, done.stdout) == (0, "ran demo\n")


@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "packaging").glob("*.sh")))
def test_the_scripts_are_plain_sh(script: str) -> None:
    """Debian's `sh` refuses what only bash knows; elsewhere bash is asked to pretend."""
    path = ROOT / "packaging" / script
    assert path.read_text(encoding="utf-8").startswith(("#!/bin/sh\n", "# "))
    shell = ["dash", "-n"] if shutil.which("dash") else ["bash", "--posix", "-n"]
    checked = subprocess.run([*shell, str(path)], capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")
