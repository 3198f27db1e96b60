"""Writers that empty a stream that was filled before: what that took, and what it cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from bench.process import peak_mib
from bench.shape import Shape
from bench.stage import Stage, just_before, reached
from traksense_ingest.ops.up.processes import Writer

BATCH_MESSAGES = 800  # INGEST_BATCH_SIZE's default


@dataclass(frozen=True)
class Drained:
    """A part of a backlog that writers have settled."""

    points: int
    seconds: float
    cpu: dict[str, float]  # seconds by process: writer, redis, postgres
    peak_mib: dict[str, float]  # the most memory that each process has had

    @property
    def rate(self) -> float:
        """Points/s."""
        return self.points / self.seconds

    def cost(self, name: str) -> float:
        """CPU µs a point of one process; 0 where it isn't a process of ours."""
        return self.cpu.get(name, 0.0) * 1e6 / self.points

    @property
    def cost_of_all(self) -> float:
        """CPU µs a point of all of them together."""
        return sum(map(self.cost, self.cpu))


async def drain(
    stage: Stage,
    shape: Shape,
    writers: int = 1,
    shards: int = 1,
    batch_size: int = BATCH_MESSAGES,
    until: int | None = None,
) -> Drained:
    """Start writers on a stream that holds the shape, and wait until it is empty, or `until` messages are settled.

    The clock starts just before the first batch is settled, so that starting Python and connecting don't count.
    """
    left = shape.messages - (until or shape.messages)
    processes = [stage.writer(INGEST_SHARDS=shards, INGEST_BATCH_SIZE=batch_size) for _ in range(writers)]
    backlog = partial(stage.backlog, shards)
    measure = partial(_measure, stage, processes)
    starting = [asyncio.ensure_future(asyncio.to_thread(process.start)) for process in processes]
    try:
        started, before = await just_before(backlog, lambda entries: entries < shape.messages, measure)
        ended = await reached(backlog, lambda entries: entries <= left)
        finished, after = measure()
        await asyncio.gather(*starting)
        return Drained(
            points=(shape.messages - ended) * shape.points,
            seconds=finished - started,
            cpu={name: after[name] - before[name] for name in after},
            peak_mib=_peaks(processes),
        )
    finally:
        await asyncio.gather(*starting, return_exceptions=True)
        for process in processes:
            await asyncio.to_thread(process.kill)  # the rest of its work is not measured


def _measure(stage: Stage, processes: Sequence[Writer]) -> tuple[float, dict[str, float]]:
    """Now, and CPU seconds by process; without the broker, which has no part in it; several writers are one."""
    spent = stage.cpu(**{f"writer{index}": process for index, process in enumerate(processes)})
    writer = sum(seconds for name, seconds in spent.items() if name.startswith("writer"))
    servers = {name: spent[name] for name in ("redis", "postgres") if name in spent}
    return time.perf_counter(), {"writer": writer} | servers


def _peaks(processes: Sequence[Writer]) -> dict[str, float]:
    return {"writer": max(peak_mib(process.pid or 0) for process in processes)}
