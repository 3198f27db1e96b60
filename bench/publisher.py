"""The load generator's process, from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bench.child import Child, child
from bench.packets import V311
from bench.shape import Shape
from bench.stage import Stage

CONNECTIONS = 4
WINDOW = 500  # messages that each connection sends ahead of their PUBACKs


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
        self._process.say("go")

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
