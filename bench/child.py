"""A reference as a child process: started, ready, and at the end one line of JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bench.stage import Stage


class Child:
    """`python -m` and a module of the benchmark."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def say(self, line: str) -> None:
        """Write a line to it."""
        assert self._process.stdin
        self._process.stdin.write(line.encode() + b"\n")

    async def ready(self) -> None:
        """Wait until it says so. Raises ChildFailed when it ends instead."""
        if (line := await self._line()) != "ready":
            raise ChildFailed(f"it said {line!r} instead of ready")

    async def result(self) -> dict[str, Any]:
        """What it measured. Raises ChildFailed when it ends without."""
        return dict(json.loads(await self._line()))

    async def _line(self) -> str:
        assert self._process.stdout
        if not (line := await self._process.stdout.readline()):
            raise ChildFailed("it ended; what it said is above")
        return line.decode().strip()


class ChildFailed(Exception):
    """A child process ended before it had a result."""


@asynccontextmanager
async def child(stage: Stage, module: str, *arguments: object, **variables: object) -> AsyncIterator[Child]:
    """The process, ended with the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *map(str, arguments),
        stdin=PIPE,
        stdout=PIPE,
        env=stage.environment(variables),
    )
    try:
        yield Child(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
