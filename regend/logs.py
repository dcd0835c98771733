"""What the daemon writes about itself: one line an event, for people or as JSON.

Secrets never reach a log: nothing logs tokens, inputs or texts, only ids, states and counts.
"""

from __future__ import annotations

import json
import logging
import sys

from regend.clock import rfc3339

_EXTRAS = ("request_id", "job_id")
LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class _Lines(logging.Formatter):
    """A line for a person."""

    def format(self, record: logging.LogRecord) -> str:
        when = rfc3339(int(record.created * 1000))
        extras = "".join(
            f" {name}={getattr(record, name)}" for name in _EXTRAS if hasattr(record, name)
        )
        # A message may quote what a stranger sent: it must not look like lines of its own.
        message = "".join(
            c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in record.getMessage()
        )
        line = f"{when} {record.levelname.lower():7} {record.name}: {message}{extras}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class _JsonLines(logging.Formatter):
    """A JSON object to a line."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "at": rfc3339(int(record.created * 1000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: getattr(record, name) for name in _EXTRAS if hasattr(record, name)},
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def start_logging(level: str, *, as_json: bool) -> None:
    """Send the daemon's log to standard error.

    Args:
        level: a name of `LEVELS`; another means info.
        as_json: one JSON object to a line.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if as_json else _Lines())
    for name, least in (("regend", logging.DEBUG), ("asyncio", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(max(least, LEVELS.get(level, logging.INFO)))
        logger.propagate = False
