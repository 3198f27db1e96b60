"""Latency at 5 000 and 50 000 points/s: from publish to committed, of every message.

The load is open: a message's timestamp is the moment at which it is due, whether or not the ones before it were slow,
and one that the generator sends late is late. When a row was committed PostgreSQL itself has noted
(`track_commit_timestamp`), so nothing asks the table meanwhile. It notes it just before the commit goes to the disk:
the mean time of such a write (`track_wal_io_timing`) is added to each quantile.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial

from bench.figure import Reading, Target, at_most
from bench.flow import flow
from bench.scenario import Impossible, Plan, Scenario, Step
from bench.shape import Shape
from bench.stage import Stage

SECONDS = 10
RATES = (5_000, 50_000)  # points/s
QUANTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
TARGETS: dict[tuple[int, str], Target] = {
    (5_000, "p50"): at_most(10),
    (5_000, "p99"): at_most(50),
    (50_000, "p99"): at_most(250),
}

_QUANTILES = """
SELECT percentile_cont($1::float8[]) WITHIN GROUP (
    ORDER BY extract(epoch FROM pg_xact_commit_timestamp(xmin) - ts)::float8 * 1000)
FROM ts_measure WHERE point_id = 'p0'
"""
_WRITES = "SELECT wal_sync AS count, wal_sync_time AS ms FROM pg_stat_wal"
_WRITES_18 = "SELECT sum(fsyncs) AS count, sum(fsync_time) AS ms FROM pg_stat_io WHERE object = 'wal'"


async def steps(stage: Stage, plan: Plan) -> AsyncIterator[Step]:
    """One for each rate."""
    for setting in ("track_commit_timestamp", "track_wal_io_timing"):
        if await stage.database.fetchval(f"SHOW {setting}") != "on":
            raise Impossible(f"this PostgreSQL runs without {setting}")
    for rate in RATES:
        yield partial(_measure, stage, rate, plan.scaled(SECONDS * rate // 10, least=10))


async def _measure(stage: Stage, rate: int, messages: int) -> Sequence[Reading]:
    await stage.clear()
    shape = Shape(messages)
    written = await _writes(stage)
    await flow(stage, shape, rate=rate / shape.points)
    count, ms = (after - before for before, after in zip(written, await _writes(stage), strict=True))
    write = ms / max(count, 1)
    quantiles = await stage.database.fetchval(_QUANTILES, list(QUANTILES.values()))
    return [
        *(Reading(_name(rate, name), value + write, "ms") for name, value in zip(QUANTILES, quantiles, strict=True)),
        Reading(_name(rate, "write to disk"), write, "ms"),
    ]


async def _writes(stage: Stage) -> tuple[float, float]:
    """How often the write-ahead log was brought to the disk so far, and the ms that it took."""
    version = int(await stage.database.fetchval("SHOW server_version_num"))
    row = await stage.database.fetchrow(_WRITES_18 if version >= 180_000 else _WRITES)
    return float(row["count"] or 0), float(row["ms"] or 0)


def _name(rate: int, figure: str) -> str:
    return f"{rate} points/s, {figure}"


LATENCY = Scenario(
    "latency", steps, targets={_name(rate, figure): target for (rate, figure), target in TARGETS.items()}
)
