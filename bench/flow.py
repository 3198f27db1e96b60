"""A load through all of it: published, received, stored."""

from __future__ import annotations

import time
from dataclasses import dataclass

from bench.child import Published, loaded
from bench.lane import end_session
from bench.measured import Measured, spent
from bench.packets import V311
from bench.process import peak_mib
from bench.shape import Shape
from bench.stage import Stage, reached, started


@dataclass(frozen=True, kw_only=True)
class Flowed(Measured):
    """From the first publish to the last row committed."""

    messages: int
    load: Published


class Incomplete(Exception):
    """Rows are missing, or too many: then no figure is valid."""


async def flow(stage: Stage, shape: Shape, protocol: str = V311, rate: float = 0) -> Flowed:
    """Publish all of a shape through a receiver and a writer. Raises Incomplete unless each row is stored.

    The last row is committed when the ledger counts the last message as settled, which is a moment later.
    """
    name, cap = f"bench-flow-{time.time_ns()}", max(shape.messages, 50_000)
    receiver = stage.receiver(MQTT_PROTOCOL=protocol, MQTT_CLIENT_ID=name, INGEST_QUEUE_MAX=cap)
    writer = stage.writer()
    async with started(writer, receiver), loaded(stage, shape, protocol, rate) as publisher:
        before = stage.cpu(receiver=[receiver], writer=[writer])
        since = time.perf_counter()
        publisher.go()
        await reached(stage.settled, lambda settled: settled >= shape.messages, receiver, writer)
        seconds = time.perf_counter() - since
        after = stage.cpu(receiver=[receiver], writer=[writer])
        published = await publisher.done()
        peaks = {service.name: peak_mib(service.pid or 0) for service in (receiver, writer)}
    end_session(stage.servers.brokers[protocol], protocol, name)
    await require_rows(stage, shape.rows)
    return Flowed(shape.rows, seconds, spent(before, after), peaks, messages=shape.messages, load=published)


async def require_rows(stage: Stage, expected: int) -> None:
    """Raise Incomplete unless the table has exactly so many."""
    if (rows := await stage.rows()) != expected:
        raise Incomplete(f"{rows} rows where {expected} were published")
