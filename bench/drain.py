"""Writers that empty streams that were filled before: what that took, and what it cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
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
_OTHER = START + timedelta(days=2)  # no timestamp of the shape


async def drain(
    stage: Stage,
    shape: Shape,
    writers: int = 1,
    shards: int = 1,
    batch_size: int = BATCH_MESSAGES,
    until: int | None = None,
    idle_s: float = 0.0,
    **variables: object,
) -> Measured:
    """Let writers empty streams that hold the shape, or settle `until` messages of them.

    They start while the streams are set aside, and store some single messages until they read whole batches. So neither
    the start of Python and of connections counts, nor the first, small batches, which are more with each writer. What
    they take when idle is measured for so long afterwards.
    """
    left = shape.messages - (until or shape.messages)
    await stage.set_aside(shards)
    variables = {"INGEST_BATCH_SIZE": batch_size, "DB_POOL_MAX": _connections(shards), **variables}
    processes = [stage.writer(INGEST_SHARDS=shards, **variables) for _ in range(writers)]
    measure = partial(_measure, stage, processes)
    try:
        for process in processes:
            await asyncio.to_thread(process.start)
        stage.pin(*processes)
        await _first_batches(stage, shape, processes, shards)
        started, before = measure()
        await stage.put_back()
        ended = await reached(partial(stage.backlog, shards), lambda entries: entries <= left, *processes)
        finished, after = measure()
        await asyncio.sleep(idle_s)
        rested, at_last = measure()
        return Measured(
            points=(shape.messages - ended) * shape.points,
            seconds=finished - started,
            cpu=spent(before, after, "broker"),
            peak_mib={"writer": max(peak_mib(process.pid or 0) for process in processes)},
            idle={role: cpu / (rested - finished) for role, cpu in spent(after, at_last, "broker").items() if idle_s},
        )
    finally:
        for process in processes:
            await asyncio.to_thread(process.kill)  # the rest of its work is not measured


def _connections(shards: int) -> int:
    """To the database, as docs/operations.md says."""
    return max(8, LANES * shards + 3)


def _measure(stage: Stage, processes: Sequence[Writer]) -> tuple[float, dict[str, float]]:
    """Now, and CPU seconds by role."""
    return time.perf_counter(), stage.cpu(writer=processes)


async def _first_batches(stage: Stage, shape: Shape, processes: Sequence[Writer], shards: int) -> None:
    """Redis gives single messages to the lanes that wait for them in turn."""
    messages = FIRST_BATCHES * LANES * shards * len(processes)
    await stage.fill(replace(shape, messages=messages, start=_OTHER), shards, batch=1)
    await reached(partial(stage.backlog, shards), lambda entries: entries == 0, *processes)
