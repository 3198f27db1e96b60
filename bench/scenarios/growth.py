"""Growth: what a point costs as everything around it grows; the most memory that a writer has at each step.

A cost is the CPU of writer, Redis and PostgreSQL together, draining a stream of messages that none has stored before:

- rows: with a table that holds none up to 20 million;
- devices: from 10 to 100 000, each with two messages at least, and tenants: from 1 to 1 000 (of 10 000 devices);
- backlog: the first messages of a stream of up to 1 000 000, which a receiver has added to.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from functools import partial

from bench.drain import drain
from bench.figure import Figure, Reading, at_most
from bench.measured import Measured
from bench.receive import receive
from bench.scenario import Plan, Scenario, Step
from bench.shape import START, Shape
from bench.stage import Stage

MESSAGES = 20_000  # drained at each step
ROWS = (0, 1_000_000, 5_000_000, 20_000_000)
DEVICES = (10, 1_000, 10_000, 100_000)
TENANTS = (1, 100, 1_000)
BACKLOGS = (1, 100_000, 1_000_000)
LIVE = 2_000  # messages that a receiver puts on top of a backlog
AXES = ("rows", "devices", "tenants", "backlog")
MEMORY_MIB = 150
COST = "CPU"
WHO = ("writer", "receiver")
POINTS = 10  # of a message

# As devices would have written them, in the order of time, before the first message that is drained.
_PREFILL = """
INSERT INTO ts_measure (tenant_id, device_id, point_id, ts, v_num, unit)
SELECT 'tenant0', 'device' || device, 'p' || point, $1::timestamptz + moment * interval '1 second', point, '°C'
FROM generate_series($2::int, $3::int - 1) AS moment, generate_series(0, $4::int - 1) AS device,
    generate_series(0, $5::int - 1) AS point
"""
_PREFILL_DEVICES = 1_000
ROWS_A_MOMENT = _PREFILL_DEVICES * POINTS
_MOMENTS = 100  # in one statement: a million rows


async def steps(stage: Stage, plan: Plan) -> AsyncIterator[Step]:
    """Each axis from its beginning to its end."""
    shape = Shape(plan.scaled(MESSAGES, least=500))
    await stage.clear()
    for moments in _scaled([rows // ROWS_A_MOMENT for rows in ROWS], plan):
        yield partial(_at_rows, stage, shape, await _prefill(stage, moments))
    for devices in _scaled(DEVICES, plan):
        yield partial(_fresh, stage, f"devices {devices:,}", _with(shape, devices))
    for tenants in _scaled(TENANTS, plan):
        many = _with(shape, max(tenants, plan.scaled(DEVICES[-2])), tenants)
        yield partial(_fresh, stage, f"tenants {tenants:,}", many)
    for backlog in _scaled(BACKLOGS, plan):
        yield partial(_behind, stage, f"backlog {backlog:,}", shape, backlog)


def conclude(figures: Sequence[Figure]) -> list[Reading]:
    """For each axis, how much more than at its beginning a point costs at most; and the most memory of all."""
    costs = {axis: [figure.median for figure in figures_along(figures, axis, COST)] for axis in AXES}
    memory = {who: [figure.median for figure in figures if figure.name.endswith(f"memory of {who}")] for who in WHO}
    return [
        *(Reading(f"{axis}: cost a point", max(cost) / cost[0], "×") for axis, cost in costs.items()),
        *(Reading(f"all: memory of {who}", max(peaks), "MiB") for who, peaks in memory.items()),
    ]


def figures_along(figures: Sequence[Figure], axis: str, what: str) -> list[Figure]:
    """The figures of one kind at each step of an axis."""
    return [figure for figure in figures if figure.name.startswith(f"{axis} ") and figure.name.endswith(f", {what}")]


async def _at_rows(stage: Stage, shape: Shape, rows: int) -> Sequence[Reading]:
    """Drain, and take what was drained out again: the table is as it was."""
    await stage.clear_streams()
    await stage.settle_down()
    await stage.fill(shape)
    readings = _readings(f"rows {rows:,}", await drain(stage, shape))
    await stage.database.execute("DELETE FROM ts_measure WHERE ts >= $1", shape.start)
    await stage.database.execute("VACUUM ts_measure")
    return readings


async def _fresh(stage: Stage, name: str, shape: Shape) -> Sequence[Reading]:
    await stage.clear()
    await stage.fill(shape)
    return _readings(name, await drain(stage, shape))


async def _behind(stage: Stage, name: str, shape: Shape, backlog: int) -> Sequence[Reading]:
    """Drain the first messages of a backlog, after a receiver has added its own."""
    await stage.clear()
    whole = Shape(max(shape.messages, backlog))
    await stage.fill(whole)
    live = Shape(min(LIVE, shape.messages), start=START + timedelta(days=1))
    received = await receive(stage, live, backlog=whole.messages)
    both = Shape(whole.messages + live.messages)
    drained = await drain(stage, both, until=shape.messages)
    return [*_readings(name, drained), Reading(f"{name}, memory of receiver", received.peak_mib["receiver"], "MiB")]


def _scaled(sizes: Sequence[int], plan: Plan) -> list[int]:
    """Sizes at the plan's scale, each once; the first one is where an axis begins, whatever the scale."""
    return sorted({sizes[0], *(plan.scaled(size, least=sizes[0]) for size in sizes)})


async def _prefill(stage: Stage, moments: int) -> int:
    """Add rows up to those of so many moments; returns how many rows that are."""
    begin, existing = START - timedelta(days=1), await stage.rows() // ROWS_A_MOMENT
    for first in range(existing, moments, _MOMENTS):
        last = min(first + _MOMENTS, moments)
        await stage.database.execute(_PREFILL, begin, first, last, _PREFILL_DEVICES, POINTS)
    await stage.database.execute("VACUUM ANALYZE ts_measure")
    return moments * ROWS_A_MOMENT


def _with(shape: Shape, devices: int, tenants: int = 1) -> Shape:
    return Shape(max(shape.messages, 2 * devices), devices=devices, tenants=tenants)


def _readings(name: str, drained: Measured) -> list[Reading]:
    return [
        Reading(f"{name}, {COST}", drained.cost_of_all, "µs/point"),
        Reading(f"{name}, drained", drained.rate, "points/s"),
        Reading(f"{name}, memory of writer", drained.peak_mib["writer"], "MiB"),
    ]


GROWTH = Scenario(
    "growth",
    steps,
    targets={f"{axis}: cost a point": at_most(1.5) for axis in AXES}
    | {f"all: memory of {who}": at_most(MEMORY_MIB) for who in WHO},
    conclude=conclude,
)
