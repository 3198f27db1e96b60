"""The manners of every command: options in sections, defaults shown, and what is wrong with a command line in one line.

What declares a command imports little more than click, so that `--help` and the completion of a shell take no longer
than Python itself; what a command works with is imported when it runs. `tests/unit/test_help.py` sees to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

OTHER = "Other options"


class Option(click.Option):
    """An option that shows its default, under a heading of `--help`."""

    def __init__(self, *args: Any, section: str = OTHER, **extra: Any) -> None:
        super().__init__(*args, **{"show_default": True} | extra)
        self.section = section


def option(*names: str, **extra: Any) -> Callable[[F], F]:
    """As click.option, with `section`."""
    return click.option(*names, cls=Option, **extra)


class Argument(click.Argument):
    """An argument that is explained, under a heading of `--help`; older versions of click know of no such thing."""

    def __init__(self, *args: Any, section: str = OTHER, told: str, **extra: Any) -> None:
        super().__init__(*args, **extra)
        self.section = section
        self.told = told

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:  # noqa: ARG002
        return self.human_readable_name, self.told


def argument(*names: str, **extra: Any) -> Callable[[F], F]:
    """As click.argument, with `section`, and `told` for what it is."""
    return click.argument(*names, cls=Argument, **extra)


class WrongUsage(click.UsageError):
    """What is wrong with a command line, in one line; the exit code is 2."""


class Command(click.Command):
    """A command with these manners."""

    def make_context(self, info_name: str | None, *args: Any, **extra: Any) -> click.Context:
        with _in_one_line(info_name or ""):
            return super().make_context(info_name, *args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _in_one_line(ctx.command_path):
            return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_sections(self, ctx, formatter)


class Group(click.Group):
    """Commands with these manners, listed in the order in which they were added."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self.commands)

    def make_context(self, info_name: str | None, *args: Any, **extra: Any) -> click.Context:
        with _in_one_line(info_name or ""):
            return super().make_context(info_name, *args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _in_one_line(ctx.command_path):
            return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_commands(ctx, formatter)
        _write_sections(self, ctx, formatter)


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
    """With the command to ask; click would print the usage as well."""
    try:
        yield
    except (WrongUsage, click.exceptions.NoArgsIsHelpError):
        raise
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else path
        told = " ".join(error.format_message().split()).removesuffix(".")
        raise WrongUsage(f"{told}. See: {command} --help") from None
