"""End to end: 1 000 000 points from the first publish to the last row committed, beside two references.

Each round stores the same rows in three ways, each into empty tables:

- published at QoS 1 over several connections, through broker, receiver, Redis, writer and PostgreSQL;
- by bare COPY over one connection, 8 000 rows at once, the rows made before and not counted: what the database can do;
- by the naive design (`bench/naive.py`), from the same load, with a fifth of the messages, since it takes so long; the
  smaller table is to its advantage.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from bench.child import child, loaded
from bench.figure import Reading, at_least, at_most
from bench.flow import Flowed, flow
from bench.naive import DROP_INDEXES, INDEXES
from bench.process import TICKS
from bench.scenario import Plan, Scenario, Step
from bench.shape import Shape
from bench.stage import COPY_ROWS, Stage, copy_rows

MESSAGES = 100_000
NAIVE_PART = 5
MEMORY_MIB = 150


async def steps(stage: Stage, plan: Plan) -> AsyncIterator[Step]:
    """One: all three ways."""
    shape = Shape(plan.scaled(MESSAGES, least=NAIVE_PART))

    async def compare() -> Sequence[Reading]:
        ours = await _ours(stage, shape)
        copy = await _bare_copy(stage, shape)
        naive = await _naive(stage, replace(shape, messages=shape.messages // NAIVE_PART))
        return [
            Reading("ours", ours.rate, "points/s"),
            Reading("bare COPY", copy, "points/s"),
            Reading("naive design", naive, "points/s"),
            Reading("ours, of bare COPY", ours.rate / copy * 100, "%"),
            Reading("ours, of the naive design", ours.rate / naive, "×"),
            *_costs(ours),
        ]

    yield compare


def _costs(ours: Flowed) -> list[Reading]:
    load, pipeline = ours.load.cpu, max(sum(ours.cpu.values()), 1 / TICKS)
    return [
        *(Reading(f"CPU of {name}", spent * 1e6 / ours.points, "µs/point") for name, spent in ours.cpu.items()),
        Reading("CPU of the load generator", load * 1e6 / ours.messages, "µs/message"),
        Reading("… of what it loads", load / pipeline * 100, "%"),
        *(Reading(f"memory of {name}", peak, "MiB") for name, peak in ours.peak_mib.items()),
    ]


async def _ours(stage: Stage, shape: Shape) -> Flowed:
    await stage.clear()
    return await flow(stage, shape)


async def _bare_copy(stage: Stage, shape: Shape) -> float:
    """Points/s."""
    await stage.clear()
    messages = COPY_ROWS // shape.points
    spent = 0.0
    for first in range(0, shape.messages, messages):
        rows = list(shape.records(range(first, min(first + messages, shape.messages))))
        started = time.perf_counter()
        await copy_rows(stage.database, rows)
        spent += time.perf_counter() - started
    return shape.rows / spent


async def _naive(stage: Stage, shape: Shape) -> float:
    """Points/s."""
    await stage.clear()
    for index in INDEXES:
        await stage.database.execute(index)
    async with child(stage, "bench.naive", shape.rows) as naive, loaded(stage, shape) as publisher:
        await naive.ready()
        started = time.perf_counter()
        publisher.go()
        await naive.result()
        seconds = time.perf_counter() - started
        await publisher.done()
    await stage.database.execute(DROP_INDEXES)
    return shape.rows / seconds


END_TO_END = Scenario(
    "end-to-end",
    steps,
    targets={
        "ours, of bare COPY": at_least(75),
        "ours, of the naive design": at_least(6),
        "memory of receiver": at_most(MEMORY_MIB),
        "memory of writer": at_most(MEMORY_MIB),
    },
)
