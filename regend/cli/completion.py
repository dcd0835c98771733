"""`regend completion`: what a shell needs to complete commands, options and job ids."""

from __future__ import annotations

import click

from regend.cli.command import Command
from regend.cli.terminal import out

_SHELLS = ("bash", "zsh", "fish")


@click.command(
    "completion",
    cls=Command,
    short_help="Print the completion script of a shell.",
    examples=[
        "echo 'eval \"$(regend completion bash)\"' >> ~/.bashrc",
        'regend completion zsh > "${fpath[1]}/_regend"',
        "regend completion fish > ~/.config/fish/completions/regend.fish",
    ],
)
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of a shell; put it where your shell looks for such."""
    from click.shell_completion import get_completion_class

    from regend.cli.root import root

    kind = get_completion_class(shell)
    assert kind is not None, shell
    script = kind(root, {}, "regend", "_REGEND_COMPLETE")
    # Not `script.source()`: that would start the shell to ask for its version.
    out((script.source_template % script.source_vars()).strip())
