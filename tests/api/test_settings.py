"""`config.toml` and the log: what a person may set, and what the daemon says of itself."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from regend.config import Config, load_config
from regend.errors import BadInput
from regend.logs import start_logging


def read(tmp_path: Path, text: str | bytes) -> Config:
    file = tmp_path / "config.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_config(file)


def test_every_key_is_optional(tmp_path: Path) -> None:
    assert read(tmp_path, "") == Config() == load_config(tmp_path / "none.toml")
    set_one = read(tmp_path, "[limits]\nresearch_per_minute = 0\n[jobs]\nheartbeat_timeout_s = 60")
    assert set_one.limits.research_per_minute == 0
    assert set_one.jobs.heartbeat_timeout_s == 60.0


@pytest.mark.parametrize(
    ("text", "field", "hint"),
    [
        ("[limit]\n", "limit", "limits"),
        ("[limits]\nresearch_per_minut = 1", "limits.research_per_minut", "research_per_minute"),
        ("zzz = 1", "zzz", "Known"),
        ('[[models.providers]]\nnmae = "x"', "models.providers[0].nmae", "name"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(
    tmp_path: Path, text: str, field: str, hint: str
) -> None:
    with pytest.raises(BadInput) as refused:
        read(tmp_path, text)
    assert refused.value.code == "config_unknown_key"
    assert refused.value.field == field and hint in refused.value.hint


@pytest.mark.parametrize(
    "text",
    [
        *("[server]\nport = 70000", "[server]\nport = -1", '[server]\nport = "7867"'),
        *("[server]\nport = true", "[server]\nport = 1.5", "server = 5", "[server]\nhost = 1"),
        *("[jobs]\nconcurrency = 0", "[jobs]\nheartbeat_timeout_s = 0", "[jobs]\nmax_attempts = 0"),
        *("[jobs]\nheartbeat_timeout_s = nan", "[jobs]\nheartbeat_timeout_s = inf"),
        *("[models]\nslots = 0", '[server]\nallowed_origins = "x"', "[models]\nproviders = [1]"),
        *("[server]\nallowed_origins = [1]", "[limits]\nresearch_per_minute = -1"),
        *(
            "[log]\nlevel = 1979-05-27",
            '[log]\nlevel = "verbose"',
            "[events]\nkeep_chunks_days = 1e300",
        ),
    ],
)
def test_a_value_that_cannot_work_is_refused_naming_its_key(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput) as refused:
        read(tmp_path, text)
    assert refused.value.code == "config_wrong_type"
    assert refused.value.field and refused.value.field in refused.value.message
    assert "e+" not in refused.value.message.partition("must be")[2].partition("not")[0]


@pytest.mark.parametrize("text", ["[", "a = ", b"\xff\xfe", b"a\x00b", "a = 1\na = 2"])
def test_what_is_no_toml_is_refused_naming_the_file(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(BadInput) as refused:
        read(tmp_path, text)
    assert "config.toml" in refused.value.message
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadInput):
        load_config(tmp_path / "folder")


@pytest.fixture
def loggers() -> Iterator[None]:
    """Give the loggers back as they were."""
    names = ("regend", "asyncio")
    before = {name: logging.getLogger(name) for name in names}
    kept = {name: (one.handlers, one.level, one.propagate) for name, one in before.items()}
    yield
    for name, one in before.items():
        one.handlers, one.level, one.propagate = kept[name]


@pytest.mark.usefixtures("loggers")
def test_a_line_of_the_log_is_one_line_whatever_it_quotes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    start_logging("info", as_json=False)
    log = logging.getLogger("regend.test")
    log.info("asked for %s", "x\n2026-01-01T00:00:00.000Z error regend: forged\r\x1b[2J")
    log.debug("not said")
    (line,) = capsys.readouterr().err.splitlines()
    assert "forged" in line and "\x1b" not in line


@pytest.mark.usefixtures("loggers")
def test_the_log_as_json_is_an_object_to_a_line_with_its_ids(
    capsys: pytest.CaptureFixture[str],
) -> None:
    start_logging("debug", as_json=True)
    logging.getLogger("regend.test").debug("नमस्ते\n", extra={"request_id": "r1", "job_id": "j1"})
    logging.getLogger("asyncio").warning("a task was lost")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["message"], first["request_id"], first["job_id"]) == ("नमस्ते\n", "r1", "j1")
    assert (second["level"], second["logger"]) == ("warning", "asyncio")
