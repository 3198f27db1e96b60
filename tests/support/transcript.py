"""A page of commands with their output, as in docs/redis-cli.md: read, run, compared and rewritten.

In its blocks `console` a line that starts with `$ ` is a command, what follows is its output. A comment
`<!-- test: … -->` is a direction for the test that runs them.
"""

from __future__ import annotations

import asyncio
import os
import pty
import re
import sys
import tty
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

DAYS = "Mon|Tue|Wed|Thu|Fri|Sat|Sun"
MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
END = re.compile(rb"\x1e(\d+)\x1e")  # what the shell says after each command, with the exit code


@dataclass(frozen=True)
class Step:
    """A command, and the lines of the page that are its output."""

    command: str
    first: int
    output: tuple[str, ...]

    def extended(self, line: str) -> Step:
        return Step(self.command, self.first, (*self.output, line))


@dataclass(frozen=True)
class Direction:
    """What is to be true before the next step."""

    text: str


def steps(page: str) -> Iterator[Step | Direction]:
    """Everything that is to be done, in order."""
    step, is_console = None, False
    for number, line in enumerate(page.splitlines()):
        if line.startswith("```") or (is_console and line.startswith("$ ")):
            if step:
                yield step
            is_console = line == "```console" or (is_console and line != "```")
            step = Step(line[2:], number + 1, ()) if line.startswith("$ ") else None
        elif step:
            step = step.extended(line)
        elif found := re.fullmatch(r"<!-- test: (.*) -->", line):
            yield Direction(found[1])


class Scene(Protocol):
    """What a page presupposes."""

    async def run(self, step: Step) -> str: ...

    async def follow(self, direction: Direction) -> None: ...


async def followed(scene: Scene, page: str) -> list[tuple[Step, str]]:
    """Do everything on a page, in order: each command with what it said."""
    said: list[tuple[Step, str]] = []
    for step in steps(page):
        if isinstance(step, Direction):
            await scene.follow(step)
        else:
            said.append((step, await scene.run(step)))
    return said


def rewritten(page: str, outputs: Sequence[tuple[Step, str]]) -> str:
    """The page with what the commands said now."""
    lines = page.splitlines()
    for step, output in reversed(outputs):
        lines[step.first : step.first + len(step.output)] = output.splitlines()
    return "\n".join(lines) + "\n"


def shape(output: str) -> str:
    """What stays the same from run to run: words and layout, but no figures, dates, writers' names or payloads. A lag
    isn't always known to Redis."""
    text = re.sub(r'"[\w.-]+-\d+-[0-9a-f]{8}-\d"', '"writer"', output)
    text = re.sub(r'("?)\{\\?".*\}\1', "payload", text)
    text = re.sub(r"(?<=traksense/)\S+?(?=\"|$)", "topic", text, flags=re.MULTILINE)
    text = re.sub(rf"\b({DAYS}) ({MONTHS})\b", "day", text)
    text = re.sub(r"\d+(\.\d+)?", "0", text.replace("(nil)", "(integer) 0"))
    return "\n".join(line.strip() for line in text.splitlines())


class Shell:
    """A bash that keeps its variables from command to command, and whose programs write to a terminal."""

    def __init__(self, process: asyncio.subprocess.Process, terminal: asyncio.StreamReader) -> None:
        self._process = process
        self._terminal = terminal

    @classmethod
    @asynccontextmanager
    async def started(cls, directory: Path, variables: Mapping[str, str]) -> AsyncIterator[Self]:
        """A shell in a directory that knows `traksense-ingest`."""
        environment = {
            **{name: value for name in ("PATH", "PYTHONPATH", "HOME") if (value := os.environ.get(name))},
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "TERM": "dumb",
            "PYTHON": sys.executable,
            **variables,
        }
        ours, theirs = pty.openpty()
        tty.setraw(theirs)
        process = await asyncio.create_subprocess_exec(
            "bash",
            "--norc",
            stdin=asyncio.subprocess.PIPE,
            stdout=theirs,
            stderr=theirs,
            cwd=directory,
            env=environment,
        )
        os.close(theirs)
        terminal = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(terminal), os.fdopen(ours, "rb", buffering=0)
        )
        try:
            shell = cls(process, terminal)
            await shell.run('traksense-ingest() { "$PYTHON" -m traksense_ingest.ops "$@"; }')
            yield shell
        finally:
            process.kill()
            await process.wait()
            transport.close()

    async def run(self, command: str) -> str:
        """What it prints."""
        assert self._process.stdin
        self._process.stdin.write(f"{{ {command}\n}} </dev/null\nprintf '\\036%d\\036' $?\n".encode())
        said = b""
        while not (end := END.search(said)):
            more = await self._terminal.read(65536)
            assert more, f"the shell has ended: {said!r}"
            said += more
        return said[: end.start()].decode().replace("\r", "")
