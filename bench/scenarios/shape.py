"""Shape: what the form of the load and of the pipeline does to the rate at which a stream is drained.

- 1, 10, 100 and 1 000 points a message, the same number of points each time;
- batches of 100, 800 and 3 200 messages; 1 and 2 writers; 1 and 4 shards;
- 0, 1, 50 and 100 % of the messages in the table already, stored by another program, spread evenly: with 1 % each batch
  has some; and 1 % of the messages twice in the stream.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial

from bench.drain import BATCH_MESSAGES, drain
from bench.figure import Reading, at_least, at_most
from bench.measured import Measured
from bench.scenario import Plan, Scenario, Step
from bench.shape import Shape
from bench.stage import COPY_ROWS, Stage, copy_rows

POINTS = 200_000
PER_MESSAGE = (1, 10, 100, 1_000)
BATCHES = (100, 800, 3_200)
DUPLICATES = (0, 1, 50, 100)  # %


async def steps(stage: Stage, plan: Plan) -> AsyncIterator[Step]:
    """One for each comparison."""
    points = plan.scaled(POINTS, least=1_000)
    shape = Shape(points // 10)
    yield partial(_points_a_message, stage, points)
    yield partial(_batch_sizes, stage, shape)
    yield partial(_writers_and_shards, stage, shape)
    yield partial(_duplicates, stage, shape)


async def _points_a_message(stage: Stage, points: int) -> Sequence[Reading]:
    shapes = [Shape(points // each, points=each) for each in PER_MESSAGE]
    return [
        Reading(f"{shape.points:,} points a message", (await _fresh(stage, shape)).rate, "points/s") for shape in shapes
    ]


async def _batch_sizes(stage: Stage, shape: Shape) -> Sequence[Reading]:
    return [
        Reading(f"batches of {size:,}", (await _fresh(stage, shape, batch_size=size)).rate, "points/s")
        for size in BATCHES
    ]


async def _writers_and_shards(stage: Stage, shape: Shape) -> Sequence[Reading]:
    return [
        Reading(f"{_count(writers, 'writer')}, {_count(shards, 'shard')}", drained.rate, "points/s")
        for writers in (1, 2)
        for shards in (1, 4)
        for drained in [await _fresh(stage, shape, writers, shards)]
    ]


async def _duplicates(stage: Stage, shape: Shape) -> Sequence[Reading]:
    rates = {}
    for percent in DUPLICATES:
        await stage.clear()
        await _store_part(stage, shape, percent)
        await stage.settle_down()
        await stage.fill(shape)
        rates[percent] = (await drain(stage, shape)).rate
    await stage.clear()
    await stage.fill(shape, again=frozenset(spread(shape.messages, 1)))
    repeated = (await drain(stage, shape)).rate
    return [
        *(Reading(f"{percent} % duplicates", rate, "points/s") for percent, rate in rates.items()),
        Reading("1 % duplicates take longer by", (rates[0] / rates[1] - 1) * 100, "%"),
        Reading("1 % that come twice take longer by", (rates[0] / repeated - 1) * 100, "%"),
        Reading("100 % duplicates, of new rows", rates[100] / rates[0], "×"),
    ]


async def _fresh(
    stage: Stage, shape: Shape, writers: int = 1, shards: int = 1, batch_size: int = BATCH_MESSAGES
) -> Measured:
    await stage.clear()
    await stage.fill(shape, shards)
    return await drain(stage, shape, writers, shards, batch_size)


async def _store_part(stage: Stage, shape: Shape, percent: int) -> None:
    """Store the rows of so many of each hundred messages beforehand."""
    stored = spread(shape.messages, percent)
    each = COPY_ROWS // shape.points
    for first in range(0, len(stored), each):
        numbers = stored[first : first + each]
        await copy_rows(stage.database, [row for number in numbers for row in shape.records(range(number, number + 1))])


def spread(messages: int, percent: int) -> list[int]:
    """So many of each hundred numbers, as far apart as can be."""
    return [number for number in range(messages) if number * percent // 100 != (number + 1) * percent // 100]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number > 1 else ''}"


SHAPE = Scenario(
    "shape",
    steps,
    targets={
        "1 % duplicates take longer by": at_most(10),
        "1 % that come twice take longer by": at_most(10),
        "100 % duplicates, of new rows": at_least(1),
    },
)
