"""`traksense-ingest completion`: what a shell needs to complete commands, options and their values."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from ops.help import Command, argument

PROGRAM = "traksense-ingest"
VARIABLE = "_TRAKSENSE_INGEST_COMPLETE"  # click's own name for it: the script asks the program by it


@click.command(cls=Command)
@argument("shell", metavar="SHELL", type=click.Choice(("bash", "zsh", "fish")), told="bash, zsh or fish.")
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a shell's completion script.

    For bash (4.4 or newer), zsh or fish: commands, options, and values such as those of `dlq list --reason`.

    \b
    Examples:
      # into ~/.bashrc or ~/.zshrc
      eval "$(traksense-ingest completion bash)"
      eval "$(traksense-ingest completion zsh)"
      # for fish, once
      traksense-ingest completion fish \\
        > ~/.config/fish/completions/traksense-ingest.fish
    """
    shell_class = get_completion_class(shell)
    assert shell_class is not None  # noqa: S101  (the choices are click's own)
    click.echo(shell_class(ctx.find_root().command, {}, PROGRAM, VARIABLE).source())
