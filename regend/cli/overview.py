"""What `regend --help` prints, without the parser."""

from __future__ import annotations

from regend.cli.index import SECTIONS

_PURPOSE = "regend runs durable agent jobs on your own devices, offline first."
_USAGE = "Usage: regend COMMAND [ARGUMENTS]"
_START = (
    "regend serve --background",
    "regend library add ~/Documents",
    'regend research "What do my documents say about …?"',
)
_MORE = "Help on a command: regend COMMAND --help"

_NAME_COLUMNS = 13
_WIDE = 80  # columns that hold each of these lines


def overview(columns: int = _WIDE) -> str:
    """Return what `regend --help` prints, in lines of at most this many columns."""
    if columns >= _WIDE:
        sentence = command = _as_it_is
    else:
        from regend.cli.prose import command_rows as command
        from regend.cli.prose import rows as sentence

    lines = [*sentence(_PURPOSE, columns), "", *sentence(_USAGE, columns), ""]
    for section, commands in SECTIONS:
        lines.append(f"{section}:")
        for name, _target, line in commands:
            lead = f"  {name:<{_NAME_COLUMNS}}"
            first, *more = sentence(line, columns - len(lead))
            lines += [lead + first, *(" " * len(lead) + row for row in more)]
    lines += ["", "Start here:"]
    for start in _START:
        lines += [f"  {row}" for row in command(start, columns - 2)]
    return "\n".join([*lines, "", *sentence(_MORE, columns)])


def _as_it_is(text: str, columns: int) -> list[str]:
    return [text]
