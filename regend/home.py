"""Where things live: `Home` names every path of one daemon.

It stands apart from the settings because every short command needs the paths and none needs the
settings, whose dataclasses take longer to import than such a command takes to run.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from regend.errors import BadInput


@dataclass(frozen=True)
class Home:
    """The folders of one daemon.

    Attributes:
        config_dir: holds `config.toml` and `keys/`.
        data_dir: holds the database, blobs and models.
        runtime_dir: holds `daemon.json` of this run.
    """

    config_dir: Path
    data_dir: Path
    runtime_dir: Path

    @staticmethod
    def find(environment: Mapping[str, str] | None = None) -> Home:
        """Return the home that `REGEND_HOME` names, or the platform's folders.

        Raises:
            BadInput: what `REGEND_HOME` names cannot be a folder.
        """
        env = os.environ if environment is None else environment
        root = env.get("REGEND_HOME")
        if root:
            return Home.at(Path(root))
        import platformdirs  # a tenth of a short command's start, and only needed here

        data_dir = Path(platformdirs.user_data_dir("regend", appauthor=False))
        config_dir = Path(platformdirs.user_config_dir("regend", appauthor=False))
        return Home(config_dir, data_dir, _own_runtime_dir() or data_dir / "run")

    @staticmethod
    def at(root: Path) -> Home:
        """Return a home with everything under one folder; symlinks are resolved.

        Raises:
            BadInput: they lead in a circle, or the folder is of a user who does not exist.
        """
        try:
            resolved = root.expanduser().resolve()
        except (RuntimeError, OSError) as error:
            raise BadInput(
                "home_not_found",
                f"The folder {root} cannot be found: {error}.",
                hint="Set REGEND_HOME to a folder of yours.",
            ) from error
        return Home(resolved, resolved, resolved)

    @property
    def config_file(self) -> Path:
        """The person's settings."""
        return self.config_dir / "config.toml"

    @property
    def keys_dir(self) -> Path:
        """Secret keys of this device."""
        return self.config_dir / "keys"

    @property
    def token_file(self) -> Path:
        """The owner's bearer token."""
        return self.config_dir / "token"

    @property
    def database(self) -> Path:
        """The SQLite database."""
        return self.data_dir / "regend.db"

    @property
    def lock_file(self) -> Path:
        """Held by the one daemon of this home."""
        return self.data_dir / "regend.lock"

    @property
    def blobs_dir(self) -> Path:
        """Content-addressed payloads."""
        return self.data_dir / "blobs"

    @property
    def models_dir(self) -> Path:
        """Model files, by catalogue name."""
        return self.data_dir / "models"

    @property
    def slots_dir(self) -> Path:
        """Where model hosts save slots, before they become blobs; same file system as blobs."""
        return self.data_dir / "slots"

    @property
    def incoming_dir(self) -> Path:
        """Payloads that other devices are sending; same file system as blobs."""
        return self.data_dir / "incoming"

    @property
    def daemon_file(self) -> Path:
        """`url`, `pid`, `started_at`, `version` of the running daemon."""
        return self.runtime_dir / "daemon.json"

    def make(self) -> None:
        """Create the folders, private to the owner whatever the umask.

        Raises:
            BadInput: a folder cannot be created or written.
        """
        for folder in (
            self.config_dir,
            self.data_dir,
            self.runtime_dir,
            self.keys_dir,
            self.blobs_dir,
            self.models_dir,
            self.slots_dir,
            self.incoming_dir,
        ):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(0o700)
                writable = os.access(folder, os.W_OK)
            except OSError as error:
                raise BadInput(
                    "home_not_writable",
                    f"The folder {folder} cannot be used: {error.strerror or error}.",
                    hint="Make it writable, or set REGEND_HOME to a folder that is.",
                ) from error
            if not writable:
                raise BadInput(
                    "home_not_writable",
                    f"The folder {folder} is not writable.",
                    hint="Make it writable, or set REGEND_HOME to a folder that is.",
                )


def _own_runtime_dir() -> Path | None:
    """Return the platform's runtime folder, None where it gives this user none of their own.

    platformdirs then names one in the shared /tmp, which anybody may have made before: whoever
    owns it would say where the daemon listens, and be sent the owner's token.
    """
    import tempfile

    import platformdirs

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some versions warn of it, once
            runtime_dir = Path(platformdirs.user_runtime_dir("regend", appauthor=False))
    except PermissionError:
        return None  # another user made it
    shared = {Path(tempfile.gettempdir()), Path("/tmp")}
    is_shared = runtime_dir.parent.name.startswith("runtime-") and runtime_dir.parents[1] in shared
    return None if is_shared else runtime_dir


def is_served(home: Home) -> bool:
    """Tell whether a daemon holds this home right now.

    A daemon that was killed leaves `daemon.json` behind, and another program may have its port
    since: who goes by the file must ask here first, or the owner's token goes to a stranger.
    """
    try:
        file = os.open(home.lock_file, os.O_RDWR)
    except OSError:
        return False
    try:
        return not _could_lock(file)
    finally:
        os.close(file)


if sys.platform == "win32":
    import msvcrt

    def _could_lock(file: int) -> bool:
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)
        return True

else:
    import fcntl

    def _could_lock(file: int) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
