"""What a person may set.

`Config` is `config.toml`: every key optional, an unknown key is an error that names it and the
nearest known one. Numbers carry their unit in the name.
"""

from __future__ import annotations

import difflib
import ipaddress
import tomllib
import typing
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from regend.errors import BadInput
from regend.limits import HEARTBEAT_INTERVAL_S, MAX_ATTEMPTS
from regend.logs import LEVELS

DEFAULT_PORT = 7867

# What a number must lie between, where it is not simply from 0 on.
_BOUNDS: dict[str, tuple[float, float]] = {
    "server.port": (0, 65_535),
    "mesh.port": (0, 65_535),
    "jobs.concurrency": (1, 1000),
    "jobs.heartbeat_timeout_s": (2 * HEARTBEAT_INTERVAL_S, 86_400),
    "jobs.max_attempts": (1, MAX_ATTEMPTS),
    "jobs.max_worker_deaths": (1, 100),
    "models.slots": (1, 64),
    "models.threads": (0, 1024),
    "library.max_upload_mb": (1, 4096),
}
_LARGEST = 1e12


def is_loopback(host: str) -> bool:
    """Tell whether an address, or the name in its place, is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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
    """How long completed jobs keep their streamed text as single events."""

    keep_chunks_days: float = 7.0


@dataclass(frozen=True)
class MeshConfig:
    """How this device meets the person's others, once it has any."""

    name: str = ""  # empty: the machine's
    port: int = 7868
    loopback: bool = False  # look on this machine instead of the network


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
    mesh: MeshConfig = field(default_factory=MeshConfig)


def load_config(path: Path) -> Config:
    """Read `config.toml`; a missing file means the defaults.

    Raises:
        BadInput: the file is not readable TOML, names an unknown key, or holds a wrong type.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return Config()  # a home that is no folder is refused by who makes it, with the remedy
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("config_unreadable", f"{path} cannot be read: {error}.") from error
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput("config_invalid", f"{path} is not valid TOML: {error}.") from error
    config: Config = _build(Config, table, "", path)
    if config.log.level not in LEVELS:
        raise _wrong(path, "log.level", f"one of {', '.join(LEVELS)}", config.log.level)
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
                hint=f"Did you mean “{prefix}{near[0]}”?"
                if near
                else f"Known: {', '.join(known)}.",
                field=f"{prefix}{key}",
            )
    values = {
        key: _convert(hints[key], value, f"{prefix}{key}", path) for key, value in table.items()
    }
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
    low, high = _BOUNDS.get(key, (0, _LARGEST))
    if not low <= number <= high and type(value) in (int, float):
        most = f"at most {high:,.0f}" if value > high else f"at least {low:g}"
        raise _wrong(path, key, f"a number of {most}", value)
    return number if hint is float else value


_TYPE_NAMES: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
}


def _wrong(path: Path, key: str, wanted: str, value: Any) -> BadInput:
    return BadInput(
        "config_wrong_type", f"{path}: “{key}” must be {wanted}, not {value!r}.", field=key
    )
