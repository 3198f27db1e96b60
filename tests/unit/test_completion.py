"""What a shell offers for the next word: as click computes it, and in bash, zsh and fish."""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from tests.support.waiting import eventually
from traksense_ingest.ops.cli import main
from traksense_ingest.ops.help import PROGRAM, VARIABLE


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
        (["devices", ""], ["set"]),
        (["devices", "--sk"], ["--skewed"]),
        (["devices", "set", "acme", "--interval", "l"], ["learned"]),
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


@pytest.fixture
def program(tmp_path: Path) -> dict[str, str]:
    """An environment in which a shell finds the program."""
    script = tmp_path / PROGRAM
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m traksense_ingest.ops "$@"\n')
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
