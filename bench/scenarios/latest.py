"""Latest: how long a reader waits for the latest value of each point, of a device and of a tenant.

The table has 20 million rows of 20 days; with TimescaleDB it is measured once more when all days but the last seven are
compressed. Compared with the same question to the rows themselves, which are all read then.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from functools import partial
from statistics import median
from typing import Any

from bench.figure import Figure, Reading, at_most
from bench.scenario import Plan, Scenario, Step
from bench.shape import START
from bench.stage import Stage
from traksense_ingest.ops.schema.apply import DesiredPolicies, shape, unsupported_reason
from traksense_ingest.ops.schema.catalogue import EarlierPoints
from traksense_ingest.shared.database import connected

TENANTS, DEVICES, POINTS = 10, 100, 10  # devices of a tenant, points of a device
DAYS, COMPRESSED = 20, 13
MOMENTS = 100  # of a day
QUERIES = 20  # of a session, after its first
NEVER = 10_000  # days; the policy is there, and this compresses at once what it would

DEVICE, TENANT = f"a device of {POINTS} points", f"a tenant of {DEVICES * POINTS:,} points"

# A day. The last device sends nothing after the first day.
_FILL = """
INSERT INTO ts_measure (tenant_id, device_id, point_id, ts, v_num, unit)
SELECT 'tenant' || tenant, 'device' || device, 'p' || point, $1::timestamptz + moment * interval '1 day' / $2::int,
    moment, '°C'
FROM generate_series(0, $2::int - 1) AS moment, generate_series(0, $3::int - 1) AS tenant,
    generate_series(0, $4::int - 1) AS device, generate_series(0, $5::int - 1) AS point
"""
_OLD_CHUNKS = "SELECT show_chunks('ts_measure', older_than => $1::timestamptz)::text AS chunk"
_OF_DEVICE = "SELECT * FROM tenant.latest_of($1)"
_OF_TENANT = "SELECT * FROM tenant.latest"
_BY_ROWS = """
SELECT DISTINCT ON (device_id, point_id) * FROM tenant.ts_measure {condition} ORDER BY device_id, point_id, ts DESC
"""


async def steps(stage: Stage, plan: Plan) -> AsyncIterator[Step]:
    """Rows as they are stored, then with most days compressed."""
    await stage.clear()
    await _fill(stage, plan)
    yield partial(_find_points, stage)
    yield partial(_read, stage, "rows")
    if await unsupported_reason(stage.database) is None:
        await _compress(stage)
        yield partial(_read, stage, "compressed")


def conclude(figures: Sequence[Figure]) -> list[Reading]:
    """The longer time, of rows and of compressed ones."""
    return [
        Reading(f"all: {what}", max(figure.median for figure in figures if figure.name.endswith(f": {what}")), "ms")
        for what in (DEVICE, TENANT)
    ]


async def _fill(stage: Stage, plan: Plan) -> None:
    for day in range(DAYS):
        devices = DEVICES - (day > 0)
        first = START - timedelta(days=DAYS - day)
        await stage.database.execute(_FILL, first, plan.scaled(MOMENTS), TENANTS, devices, POINTS)
    await stage.database.execute("VACUUM ANALYZE ts_measure")


async def _find_points(stage: Stage) -> Sequence[Reading]:
    """As after the upgrade of a version that had no table of them."""
    await stage.database.execute("TRUNCATE device_point")
    await stage.database.execute("UPDATE schema_migrations SET has_earlier_points = false")
    started = time.perf_counter()
    await EarlierPoints(stage.servers.database_url).run()
    took = time.perf_counter() - started
    await stage.database.execute("VACUUM ANALYZE device_point")
    return [Reading("finding the points of all rows", took, "s")]


async def _compress(stage: Stage) -> None:
    await shape(stage.servers.database_url, DesiredPolicies(compress_after=NEVER))
    for row in await stage.database.fetch(_OLD_CHUNKS, START - timedelta(days=DAYS - COMPRESSED)):
        await stage.database.execute(f"SELECT compress_chunk('{row['chunk']}')")
    await stage.database.execute("VACUUM ANALYZE ts_measure")


async def _read(stage: Stage, name: str) -> Sequence[Reading]:
    async with connected(stage.servers.database_url, command_timeout=None) as connection:
        await connection.execute("SELECT set_config('app.tenant_id', 'tenant3', false)")
        silent = f"device{DEVICES - 1}"
        first = await _timed(connection, POINTS, _OF_DEVICE, "device7")
        times = {
            DEVICE: await _usual(connection, POINTS, _OF_DEVICE, "device7"),
            f"{DEVICE}, a session's first query": first,
            f"{DEVICE}, silent since the first day": await _usual(connection, POINTS, _OF_DEVICE, silent),
            TENANT: await _usual(connection, DEVICES * POINTS, _OF_TENANT),
            f"{DEVICE}, by its rows": await _timed(
                connection, POINTS, _BY_ROWS.format(condition="WHERE device_id = $1"), "device7"
            ),
            f"{TENANT}, by its rows": await _timed(connection, DEVICES * POINTS, _BY_ROWS.format(condition="")),
        }
    return [Reading(f"{name}: {what}", value, "ms") for what, value in times.items()]


async def _usual(connection: Any, rows: int, query: str, *arguments: object) -> float:
    return median([await _timed(connection, rows, query, *arguments) for _ in range(QUERIES)])


async def _timed(connection: Any, rows: int, query: str, *arguments: object) -> float:
    """Milliseconds, until all rows are here."""
    started = time.perf_counter()
    found = await connection.fetch(query, *arguments)
    took = time.perf_counter() - started
    assert len(found) == rows
    return 1000 * took


LATEST = Scenario(
    "latest",
    steps,
    targets={f"all: {DEVICE}": at_most(5), f"all: {TENANT}": at_most(100)},
    conclude=conclude,
)
