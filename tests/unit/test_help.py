"""What every command says of itself: examples that work, what fits a narrow terminal, near names, nothing heavy."""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from traksense_ingest.ops.cli import main
from traksense_ingest.ops.help import PROGRAM, VARIABLE, Argument

HEAVY = {"aiomqtt", "asyncio", "asyncpg", "paho", "prometheus_client", "pydantic", "redis", "rich"}
SET = ("devices", "set")
ORDER = [
    "up",
    "migrate",
    "receiver",
    "writer",
    "status",
    "devices",
    "console",
    "dlq",
    "import",
    "mapping",
    "validate",
    "simulate",
    "completion",
]


def commands(command: click.Command = main, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command's name and those of its groups."""
    yield path
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from commands(inner, (*path, name))


COMMANDS = list(commands())


def help_of(path: tuple[str, ...], width: int = 80) -> str:
    result = CliRunner().invoke(main, [*path, "--help"], prog_name=PROGRAM, terminal_width=width)
    assert result.exit_code == 0
    return result.stdout


def examples(path: tuple[str, ...]) -> list[list[str]]:
    """The words of each example, without variables before it and what comes after a pipe."""
    _, _, block = help_of(path).partition("Examples:\n")
    text = block.partition("\n\n")[0].replace("\\\n", " ")
    lines = re.sub(r'eval "\$\((.*)\)"', r"\1", text).splitlines()
    found = [shlex.split(re.split(r" [|>]", line)[0], comments=True) for line in lines if f"{PROGRAM} " in line]
    return [words[words.index(PROGRAM) + 1 :] for words in found]


def parse(words: list[str]) -> click.Context:
    """As click would, up to calling the command; raises UsageError."""
    context = main.make_context(PROGRAM, list(words))
    while isinstance(context.command, click.Group):
        rest = [*context._protected_args, *context.args]
        if not rest and context.command.invoke_without_command:
            break
        name, command, rest = context.command.resolve_command(context, rest)
        assert command
        context = command.make_context(name, rest, parent=context)
    return context


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_each_example_is_one_that_works(path: tuple[str, ...]) -> None:
    found = examples(path)
    assert 2 <= len(found) <= 6
    for words in found:
        assert parse(words).command_path
    assert any(words[: len(path)] == list(path) for words in found)


def test_an_example_that_is_wrong_would_be_noticed() -> None:
    for words in (["dlq", "lst"], ["dlq", "list", "--tenent", "acme"], ["simulate", "--rate", "fast"]):
        with pytest.raises(click.UsageError):
            parse(words)


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_fits(path: tuple[str, ...], width: int) -> None:
    lines = help_of(path, width).splitlines()
    assert max(map(len, lines)) <= width
    listed = itertools.takewhile(bool, lines[lines.index("Commands:") + 1 :]) if "Commands:" in lines else ()
    assert not [line for line in listed if line.endswith("...")], "a short help that is cut off"


def test_commands_are_listed_in_the_order_in_which_they_are_needed() -> None:
    listed = help_of(()).partition("Commands:\n")[2].partition("\n\n")[0]
    assert re.findall(r"^  (\w+)", listed, re.MULTILINE) == ORDER


def command_of(path: tuple[str, ...]) -> click.Command:
    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    return command


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_each_argument_and_option_is_explained_and_shows_its_default(path: tuple[str, ...]) -> None:
    for option in command_of(path).params:
        if isinstance(option, click.Argument):
            assert isinstance(option, Argument)
            assert option.explanation.endswith(".")
            line = rf"^  {re.escape(option.human_readable_name)} +{re.escape(option.explanation)}$"
            assert re.search(line, help_of(path, 200), re.MULTILINE)
        if isinstance(option, click.Option):
            record = option.get_help_record(click.Context(main))
            assert option.help
            assert record
            if isinstance(option.default, str | int | float) and not option.is_flag:
                assert f"default: {option.default}" in record[1]


def options_of(*path: str) -> set[str]:
    return {name for option in command_of(path).params for name in (*option.opts, *option.secondary_opts)}


def test_what_dlq_says_of_its_selectors_is_so() -> None:
    taking = {name: options_of("dlq", name) for name in ("list", "show", "replay", "purge", "export")}

    def who(*options: str) -> set[str]:
        return {name for name, theirs in taking.items() if {*options} & theirs}

    text = " ".join(help_of(("dlq",)).split())
    assert who("--tenant", "--reason") == {*taking} - {"show"}
    assert "All but `show`, which takes an id, choose by --tenant and --reason" in text
    assert who("--device", "--text", "--since", "--until") == {"list", "export", "replay"}
    assert "`list`, `export` and `replay` also by --device, --text, --since and --until" in text
    assert who("--older-than") == {"purge"}
    assert "`purge` by --older-than" in text
    assert who("--replayed", "--not-replayed") == {"list", "export", "purge"}
    assert "`list`, `export` and `purge` by --replayed or --not-replayed" in text


@pytest.mark.parametrize(
    ("words", "near", "where"),
    [
        (["stauts"], "Did you mean 'status'?", "traksense-ingest --help"),
        (["dlq", "lits"], "Did you mean 'list'?", "traksense-ingest dlq --help"),
        (["status", "--wach"], "Did you mean '--watch'?", "traksense-ingest status --help"),
        (["dlq", "list", "--tenent", "t"], "'--tenant'", "traksense-ingest dlq list --help"),
        (["dlq", "list", "--reason", "parse"], "'parse_error', ", "traksense-ingest dlq list --help"),
        (["devices", "silent"], "No such command 'silent'", "traksense-ingest devices --help"),
        (["devices", "--silent", "set", "t", "d"], "does not go with `set`", "traksense-ingest devices --help"),
        ([*SET, "t", "--interval", "9"], "name devices, or give either", "traksense-ingest devices set --help"),
        ([*SET, "t", "--all", "--site", "s", "--interval", "9"], "either", "traksense-ingest devices set --help"),
        ([*SET, "t", "d", "--interval", "0.5"], "from 1 to 31622400", "traksense-ingest devices set --help"),
        ([*SET, "t", "d", "--interval", "nan"], "nor 'learned'", "traksense-ingest devices set --help"),
        (["completion"], "bash", "traksense-ingest completion --help"),
    ],
)
def test_what_is_mistyped_is_one_line_with_what_is_near_and_where_to_read_on(
    words: list[str], near: str, where: str
) -> None:
    result = CliRunner().invoke(main, words, prog_name=PROGRAM)
    assert (result.exit_code, result.stderr.count("\n"), result.stdout) == (2, 1, "")
    assert near in result.stderr
    assert result.stderr.endswith(f". See: {where}\n")


@pytest.mark.parametrize(
    ("variables", "arguments"),
    [
        ({}, ["--help"]),
        ({}, ["status", "--help"]),
        ({}, ["dlq", "replay", "--help"]),
        ({VARIABLE: "bash_complete", "COMP_WORDS": f"{PROGRAM} dlq list --reason ", "COMP_CWORD": "4"}, []),
        ({VARIABLE: "bash_complete", "COMP_WORDS": f"{PROGRAM} s", "COMP_CWORD": "1"}, []),
    ],
)
def test_help_and_completion_import_nothing_that_takes_time(variables: dict[str, str], arguments: list[str]) -> None:
    program = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('imported', *sys.modules, file=sys.stderr))\n"
        "from traksense_ingest.ops.cli import main\n"
        f"main(prog_name={PROGRAM!r})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={"PYTHONPATH": ":".join(sys.path), **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout
    imported = done.stderr.partition("imported ")[2].split()
    assert "click" in imported
    assert not HEAVY & set(imported)
