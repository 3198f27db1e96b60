"""What every command says of itself: examples that work, what fits a narrow terminal, near names, nothing heavy."""

from __future__ import annotations

import contextlib
import itertools
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from ops.cli import main
from ops.completion import PROGRAM, VARIABLE
from ops.help import Argument
from tests.support.waiting import eventually

HEAVY = {"aiomqtt", "asyncio", "asyncpg", "paho", "prometheus_client", "pydantic", "redis", "rich"}
ORDER = ["up", "migrate", "receiver", "writer", "status", "dlq", "validate", "simulate", "completion"]


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
        name, command, rest = context.command.resolve_command(context, [*context._protected_args, *context.args])
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


def test_commands_are_told_in_the_order_in_which_they_are_met() -> None:
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
            assert option.told.endswith(".")
            line = rf"^  {re.escape(option.human_readable_name)} +{re.escape(option.told)}$"
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
    assert who("--since", "--until") == {"list", "export", "replay"}
    assert "`list`, `export` and `replay` also by --since and --until" in text
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


def complete(*words: str) -> list[str]:
    """What a shell would offer for the last word."""
    offered = ShellComplete(main, {}, PROGRAM, VARIABLE).get_completions(list(words[:-1]), words[-1])
    return [item.value for item in offered]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["s"], ["status", "simulate"]),
        (["dlq", ""], ["list", "show", "replay", "purge", "export"]),
        (["dlq", "list", "--re"], ["--reason", "--replayed"]),
        (["dlq", "list", "--reason", "p"], ["parse_error", "payload_too_large"]),
        (["status", "--skip", ""], ["broker", "database"]),
        (["status", "--a"], ["--accept-loss"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
    ],
)
def test_completion(words: list[str], offered: list[str]) -> None:
    assert complete(*words) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shells_script_asks_this_program(shell: str) -> None:
    script = CliRunner().invoke(main, ["completion", shell]).stdout
    assert VARIABLE in script
    assert f"{VARIABLE}={shell}_complete" in script


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
        "from ops.cli import main\n"
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


@pytest.fixture
def program(tmp_path: Path) -> dict[str, str]:
    """An environment in which a shell finds the program."""
    script = tmp_path / PROGRAM
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m ops "$@"\n')
    script.chmod(0o755)
    return {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": ":".join(sys.path)}


def test_bash_completes(program: dict[str, str]) -> None:
    session = f"""
        (( BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 404 )) || exit 77
        eval "$({PROGRAM} completion bash)"
        complete -p {PROGRAM} >/dev/null || exit 1
        COMP_WORDS=({PROGRAM} dlq list --reason p) COMP_CWORD=4
        _traksense_ingest_completion {PROGRAM}
        echo "${{COMPREPLY[@]}}"
    """
    if not shutil.which("bash"):
        pytest.skip("needs bash")
    done = subprocess.run(["bash", "-c", session], env=program, capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("needs bash 4.4")
    assert (done.returncode, done.stdout, done.stderr) == (0, "parse_error payload_too_large\n", "")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_zsh_and_fish_take_their_scripts(shell: str, program: dict[str, str], tmp_path: Path) -> None:
    if not shutil.which(shell):
        pytest.skip(f"needs {shell}")
    script = tmp_path / "script"
    script.write_text(CliRunner().invoke(main, ["completion", shell]).stdout)
    done = subprocess.run([shell, "-n", script], env=program, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_fish_completes(program: dict[str, str], tmp_path: Path) -> None:
    if not shutil.which("fish"):
        pytest.skip("needs fish")
    session = f"""
        {PROGRAM} completion fish | source
        complete -C '{PROGRAM} dlq list --reason p'
        complete -C '{PROGRAM} st'
    """
    environment = {**program, "HOME": str(tmp_path)}
    done = subprocess.run(["fish", "-c", session], env=environment, capture_output=True, text=True, check=False)
    offered = [line.partition("\t")[0] for line in done.stdout.splitlines()]
    assert (done.returncode, offered, done.stderr) == (0, ["parse_error", "payload_too_large", "status"], "")


class Zsh:
    """An interactive one, at a terminal."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        self._popen = subprocess.Popen(
            ["zsh", "-f", "-i"], env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        os.set_blocking(self._ours, False)
        self._screen = bytearray()

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    async def shows(self, *words: str) -> None:
        await eventually(lambda: all(word in self._seen() for word in words), self._seen)

    def _seen(self) -> str:
        with contextlib.suppress(BlockingIOError):
            self._screen.extend(os.read(self._ours, 65_536))
        return self._screen.decode(errors="replace")

    def close(self) -> None:
        self._popen.kill()
        self._popen.wait()
        os.close(self._ours)


async def test_zsh_completes(program: dict[str, str], tmp_path: Path) -> None:
    """At a terminal: it completes nowhere else."""
    if not shutil.which("zsh"):
        pytest.skip("needs zsh")
    with contextlib.closing(Zsh({**program, "HOME": str(tmp_path), "TERM": "dumb", "PS1": "> "})) as zsh:
        zsh.type(f'autoload -U compinit; compinit -D -u; eval "$({PROGRAM} completion zsh)"; print rea""dy\n')
        await zsh.shows("ready")
        zsh.type(f"{PROGRAM} dlq list --reason p\t\t")
        await zsh.shows("parse_error", "payload_too_large")
