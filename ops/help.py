"""What all commands share: options in sections, defaults shown, usage errors in one line, and completion in a shell.

Modules that declare a command import little more than click, so that `--help` and completion take no longer than Python
itself; what a command works with is imported when it runs. `tests/unit/test_help.py` checks it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import click
from click.shell_completion import get_completion_class

F = TypeVar("F", bound=Callable[..., Any])

OTHER = "Other options"
PROGRAM = "traksense-ingest"
VARIABLE = "_TRAKSENSE_INGEST_COMPLETE"  # the one that click derives from the program's name
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)


class Option(click.Option):
    """An option that shows its default, under a heading of `--help`."""

    def __init__(self, *args: Any, section: str = OTHER, **extra: Any) -> None:
        super().__init__(*args, **{"show_default": True} | extra)
        self.section = section


def option(*names: str, **extra: Any) -> Callable[[F], F]:
    """As click.option, with `section`."""
    return click.option(*names, cls=Option, **extra)


class Argument(click.Argument):
    """An argument with an explanation under a heading of `--help`, which older versions of click can't show."""

    def __init__(self, *args: Any, section: str = OTHER, explanation: str, **extra: Any) -> None:
        super().__init__(*args, **extra)
        self.section = section
        self.explanation = explanation

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:  # noqa: ARG002
        return self.human_readable_name, self.explanation


def argument(*names: str, **extra: Any) -> Callable[[F], F]:
    """As click.argument, with `section` and `explanation`."""
    return click.argument(*names, cls=Argument, **extra)


class WrongUsage(click.UsageError):
    """What is wrong with a command line, in one line; the exit code is 2."""


class Command(click.Command):
    """A command with options in sections, and usage errors in one line."""

    def make_context(self, info_name: str | None, *args: Any, **extra: Any) -> click.Context:
        with _in_one_line(info_name or ""):
            return super().make_context(info_name, *args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _in_one_line(ctx.command_path):
            return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_sections(self, ctx, formatter)


class Group(Command, click.Group):
    """A group of such commands, listed in the order in which they were added."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self.commands)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_commands(ctx, formatter)
        _write_sections(self, ctx, formatter)


def moment(_ctx: click.Context, _param: click.Parameter, value: str | None) -> datetime | None:
    """An RFC 3339 timestamp with Z or an offset, from 2000 on, in UTC; raises BadParameter."""
    try:
        return None if value is None else moment_of(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def moment_of(text: str) -> datetime:
    """The same of a text; raises ValueError."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an RFC 3339 timestamp such as 2025-10-07T15:30:00Z") from None
    if parsed.tzinfo is None:
        raise ValueError(f"{text!r} has no Z or offset, unlike 2025-10-07T15:30:00Z")
    if parsed < _EARLIEST:
        raise ValueError(f"{text!r} is before 2000-01-01")
    return parsed.astimezone(UTC)


@click.command(cls=Command)
@argument("shell", metavar="SHELL", type=click.Choice(("bash", "zsh", "fish")), explanation="bash, zsh or fish.")
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


def _write_sections(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    sections: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(ctx):
        if record := parameter.get_help_record(ctx):
            sections.setdefault(getattr(parameter, "section", OTHER), []).append(record)
    for heading, records in sections.items():
        with formatter.section(heading if len(sections) > 1 else "Options"):
            formatter.write_dl(records)


@contextmanager
def _in_one_line(path: str) -> Iterator[None]:
    """With the command whose --help explains it; click would print the usage as well."""
    try:
        yield
    except (WrongUsage, click.exceptions.NoArgsIsHelpError):
        raise
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else path
        message = " ".join(error.format_message().split()).removesuffix(".")
        raise WrongUsage(f"{message}. See: {command} --help") from None
