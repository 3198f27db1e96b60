"""Writers that empty streams that were filled before: what that took, and what it cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from bench.measured import Measured, spent
from bench.process import peak_mib
from bench.shape import START, Shape
from bench.stage import Stage, reached
from traksense_ingest.ops.up.processes import Writer

BATCH_MESSAGES = 800  # INGEST_BATCH_SIZE's default
LANES = 2  # of a writer on each stream
# A lane reads 16 messages at first, and twice as many after each batch until it reads whole ones: after 6 of them.
FIRST_BATCHES = 12
_EARLIER = START + timedelta(days=2)  # no timestamp of another load


async def drain(
    stage: Stage,
    shape: Shape,
    writers: int = 1,
    shards: int = 1,
    batch_size: int = BATCH_MESSAGES,
    until: int | None = None,
) -> Measured:
    """Let writers empty streams that hold the shape, or settle `until` messages of them.

    They start while the streams are set aside, and store some single messages until they read whole batches. So neither
    the start of Python and of connections counts, nor the first, small batches, which are more with each writer.
    """
    left = shape.messages - (until or shape.messages)
    await stage.set_aside(shards)
    processes = [_writer(stage, shards, batch_size) for _ in range(writers)]
    starting = [asyncio.ensure_future(asyncio.to_thread(process.start)) for process in processes]
    try:
        await asyncio.gather(*starting)
        stage.pin(*processes)
        await _first_batches(stage, processes, shards)
        started, before = time.perf_counter(), stage.cpu(writer=processes)
        await stage.put_back()
        ended = await reached(partial(stage.backlog, shards), lambda entries: entries <= left, *processes)
        seconds, after = time.perf_counter() - started, stage.cpu(writer=processes)
        peak = max(peak_mib(process.pid or 0) for process in processes)
        points = (shape.messages - ended) * shape.points
        return Measured(points, seconds, spent(before, after, "broker"), {"writer": peak})
    finally:
        await asyncio.gather(*starting, return_exceptions=True)
        for process in processes:
            await asyncio.to_thread(process.kill)  # the rest of its work is not measured


def _writer(stage: Stage, shards: int, batch_size: int) -> Writer:
    """With as many connections to the database as docs/operations.md says."""
    connections = max(8, LANES * shards + 3)
    return stage.writer(INGEST_SHARDS=shards, INGEST_BATCH_SIZE=batch_size, DB_POOL_MAX=connections)


async def _first_batches(stage: Stage, processes: Sequence[Writer], shards: int) -> None:
    """Redis gives single messages to the lanes that wait for them in turn."""
    messages = FIRST_BATCHES * LANES * shards * len(processes)
    await stage.fill(Shape(messages, start=_EARLIER), shards, batch=1)
    await reached(partial(stage.backlog, shards), lambda entries: entries == 0, *processes)
