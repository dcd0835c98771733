"""Every command by name, where it lives, and its one line of help: data, read without the parser.

A test holds the lines against the commands themselves.
"""

from __future__ import annotations

# section: ((name, module:attribute, help), …)
SECTIONS: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    (
        "Ask",
        (
            ("research", "research:research", "Answer a question from your library, with sources."),
            ("ask", "ask:ask", "Ask the model anything."),
            ("chat", "chat:chat", "Talk with the model, turn by turn."),
        ),
    ),
    (
        "Work",
        (
            ("jobs", "jobs:jobs", "List, watch and steer jobs."),
            ("library", "library:library", "Add documents and search them."),
            ("models", "models:models", "See, get and remove models."),
            ("devices", "devices:devices", "Join your devices, and see how far each is."),
        ),
    ),
    (
        "Daemon",
        (
            ("serve", "serve:serve", "Start the daemon."),
            ("stop", "serve:stop", "Stop the daemon; its jobs go on when it starts again."),
            ("status", "status:status", "Show what the daemon is doing."),
            ("doctor", "doctor:doctor", "Check this machine and say what to repair."),
            ("demo", "demo:demo", "Watch a job survive the death of everything it runs on."),
        ),
    ),
    (
        "Care",
        (
            ("tokens", "tokens:tokens", "Let other programs and people call the daemon."),
            ("backup", "backup:backup", "Copy everything to a folder or a tar file."),
            ("restore", "backup:restore", "Bring a backup back."),
            ("diagnostics", "diagnostics:diagnostics", "Pack logs and versions for a bug report."),
            ("completion", "completion:completion", "Print the completion script of a shell."),
        ),
    ),
)


def targets() -> dict[str, str]:
    """Return where each command lives, `module:attribute` within this package, by name."""
    return {name: target for _section, commands in SECTIONS for name, target, _help in commands}
