"""Child processes of the benchmark, from outside: references and the load generator.

Each is started, prints `ready`, and at the end one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bench.packets import V311
from bench.shape import Shape
from bench.stage import Stage

CONNECTIONS = 4
WINDOW = 500  # messages that each connection sends ahead of their PUBACKs


class Child:
    """`python -m` and a module of the benchmark."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def send(self, line: str) -> None:
        """Write a line to it."""
        assert self._process.stdin
        self._process.stdin.write(line.encode() + b"\n")

    async def ready(self) -> None:
        """Wait for its line `ready`. Raises ChildFailed when it ends instead."""
        if (line := await self._line()) != "ready":
            raise ChildFailed(f"it printed {line!r} instead of ready")

    async def result(self) -> dict[str, Any]:
        """What it measured. Raises ChildFailed when it ends without."""
        return dict(json.loads(await self._line()))

    async def _line(self) -> str:
        assert self._process.stdout
        if not (line := await self._process.stdout.readline()):
            raise ChildFailed("it ended; its output is above")
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


@dataclass(frozen=True)
class Published:
    """What a load took and cost, in seconds."""

    seconds: float
    cpu: float


class Publisher:
    """A load that is encoded and waits for `go`."""

    def __init__(self, process: Child) -> None:
        self._process = process

    def go(self) -> None:
        """Publish."""
        self._process.send("go")

    async def done(self) -> Published:
        """Every message has its PUBACK."""
        return Published(**await self._process.result())


@asynccontextmanager
async def loaded(stage: Stage, shape: Shape, protocol: str = V311, rate: float = 0) -> AsyncIterator[Publisher]:
    """A publisher of all messages of a shape; with a rate in messages/s, each at its moment."""
    url = stage.servers.brokers[protocol]
    async with child(stage, "bench.load", url, protocol, CONNECTIONS, WINDOW, rate, shape.to_json()) as process:
        await process.ready()
        yield Publisher(process)
