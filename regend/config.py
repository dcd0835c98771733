"""Where things live, and what a person may set.

`Home` names every path. `Config` is `config.toml`: every key optional, an unknown key is an error
that names it and the nearest known one. Numbers carry their unit in the name.
"""

from __future__ import annotations

import difflib
import os
import tomllib
import types
import typing
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import platformdirs

from regend.errors import BadInput

DEFAULT_PORT = 7867


@dataclass(frozen=True)
class Home:
    """The folders of one daemon.

    Attributes:
        config_dir: holds `config.toml` and `keys/`.
        data_dir: holds the database, blobs and models.
        runtime_dir: holds `daemon.json` and the sockets of this run.
    """

    config_dir: Path
    data_dir: Path
    runtime_dir: Path

    @staticmethod
    def find(environment: typing.Mapping[str, str] | None = None) -> Home:
        """Return the home that `REGEND_HOME` names, or the platform's folders."""
        env = os.environ if environment is None else environment
        root = env.get("REGEND_HOME")
        if root:
            return Home.at(Path(root))
        return Home(
            Path(platformdirs.user_config_dir("regend", appauthor=False)),
            Path(platformdirs.user_data_dir("regend", appauthor=False)),
            Path(platformdirs.user_runtime_dir("regend", appauthor=False)),
        )

    @staticmethod
    def at(root: Path) -> Home:
        """Return a home with everything under one folder; symlinks are resolved."""
        resolved = root.expanduser().resolve()
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


@dataclass(frozen=True)
class ServerConfig:
    """Where the daemon listens and who may call it from a browser."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    allowed_origins: tuple[str, ...] = ()
    tls_certificate: str = ""
    tls_key: str = ""


@dataclass(frozen=True)
class JobsConfig:
    """How jobs are run."""

    concurrency: int = 2
    heartbeat_timeout_s: float = 35.0
    max_attempts: int = 3
    max_worker_deaths: int = 3


@dataclass(frozen=True)
class ProviderConfig:
    """A connected OpenAI-compatible server."""

    name: str = ""
    url: str = ""
    api_key: str = ""


@dataclass(frozen=True)
class ModelsConfig:
    """Which models, and how much of the machine they may use."""

    default: str = "smollm2-135m"
    idle_unload_s: float = 300.0
    memory_mb: int = 0  # 0: half of the machine's
    slots: int = 2
    threads: int = 0  # 0: the machine's physical cores
    discover: bool = True
    providers: tuple[ProviderConfig, ...] = ()


@dataclass(frozen=True)
class LibraryConfig:
    """What the library takes in."""

    max_upload_mb: int = 100
    allow_private_addresses: bool = False


@dataclass(frozen=True)
class LimitsConfig:
    """How often one token may call; 0 means no limit."""

    research_per_minute: int = 5
    requests_per_minute: int = 6000


@dataclass(frozen=True)
class EventsConfig:
    """How long finished jobs keep their streamed text as single events."""

    keep_chunks_days: float = 7.0


@dataclass(frozen=True)
class LogConfig:
    """What the daemon writes about itself."""

    level: str = "info"
    json: bool = False


@dataclass(frozen=True)
class Config:
    """All settings with their defaults."""

    server: ServerConfig = field(default_factory=ServerConfig)
    jobs: JobsConfig = field(default_factory=JobsConfig)
    models: ModelsConfig = field(default_factory=ModelsConfig)
    library: LibraryConfig = field(default_factory=LibraryConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    events: EventsConfig = field(default_factory=EventsConfig)
    log: LogConfig = field(default_factory=LogConfig)


def load_config(path: Path) -> Config:
    """Read `config.toml`; a missing file means the defaults.

    Raises:
        BadInput: the file is not readable TOML, names an unknown key, or holds a wrong type.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Config()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("config_unreadable", f"{path} cannot be read: {error}.") from error
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput("config_invalid", f"{path} is not valid TOML: {error}.") from error
    config: Config = _build(Config, table, "", path)
    return config


def _build(kind: Any, table: Any, prefix: str, path: Path) -> Any:
    """Make the dataclass `kind` from a TOML table, naming the key at fault."""
    if not isinstance(table, dict):
        raise _wrong(path, prefix.rstrip("."), "a table", table)
    hints = typing.get_type_hints(kind)
    known = [f.name for f in fields(kind)]
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            raise BadInput(
                "config_unknown_key",
                f"{path}: there is no setting “{prefix}{key}”.",
                hint=f"Did you mean “{prefix}{near[0]}”?" if near else f"Known: {', '.join(known)}.",
                field=f"{prefix}{key}",
            )
    values = {key: _convert(hints[key], value, f"{prefix}{key}", path) for key, value in table.items()}
    return kind(**values)


def _convert(hint: Any, value: Any, key: str, path: Path) -> Any:
    if is_dataclass(hint):
        return _build(hint, value, f"{key}.", path)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise _wrong(path, key, "a list", value)
        item = typing.get_args(hint)[0]
        return tuple(_convert(item, one, f"{key}[{i}]", path) for i, one in enumerate(value))
    if hint is float and type(value) in (int, float):
        number = float(value)
    elif type(value) is hint:
        number = value if isinstance(value, int) else 0
    else:
        raise _wrong(path, key, _TYPE_NAMES.get(hint, str(hint)), value)
    if number < 0 or number != number or number > 1e12:
        raise _wrong(path, key, "a number from 0 on", value)
    return number if hint is float else value


_TYPE_NAMES: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    types.NoneType: "nothing",
}


def _wrong(path: Path, key: str, wanted: str, value: Any) -> BadInput:
    return BadInput(
        "config_wrong_type", f"{path}: “{key}” must be {wanted}, not {value!r}.", field=key
    )
