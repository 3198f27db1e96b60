"""The aggregates of the first version: of the time before its rows they are all that there is. All are copied."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from traksense_ingest.ops.adopt import sql
from traksense_ingest.ops.adopt.database import AGGREGATES, OLD, has_relation, has_timescaledb, transaction
from traksense_ingest.ops.schema.aggregates import replace_views

# A chunk of the history, and what is copied at once: some days of minutes are as many rows as some months of hours.
INTERVALS = {"1m": timedelta(days=7), "5m": timedelta(days=30), "1h": timedelta(days=365)}
AT_ONCE = {"1m": timedelta(hours=6), "5m": timedelta(days=1), "1h": timedelta(days=10)}


async def create(connection: Any) -> None:
    """A table for the history of each aggregate of the first version; in the caller's transaction."""
    for name in AGGREGATES:
        if not await has_relation(connection, f"{OLD}.ts_measure_{name}"):
            continue
        await connection.execute("CREATE SCHEMA IF NOT EXISTS aggregates")
        await connection.execute(sql.of("create_history", name=name))
        if await has_timescaledb(connection):
            interval = f"{INTERVALS[name].days} days"
            await connection.execute(sql.of("make_history_hypertable", name=name, interval=interval))
    await replace_views(connection)


async def copy(connection: Any) -> None:
    """What is left of it, the newest first. Raises what asyncpg raises."""
    for name in AGGREGATES:
        if await has_relation(connection, f"{OLD}.ts_measure_{name}"):
            await _copy_one(connection, name)


async def _copy_one(connection: Any, name: str) -> None:
    limits = await connection.fetchrow(sql.of("history_limits", name=name))
    part = f"ts_measure_{name}"
    known = await connection.fetchrow(sql.of("part"), part)
    if limits["first"] is None or (known and known["is_done"]):
        return
    step = AT_ONCE[name]
    steps = int((limits["last"] - limits["first"]) / step) + 1
    statement = sql.of(
        "copy_history", name=name, tenant=sql.TENANT, device=sql.DEVICE, point=sql.POINT, names=sql.POINT_NAMES
    )
    for left in range(known["position"] if known else steps, 0, -1):
        start = limits["first"] + step * (left - 1)
        async with transaction(connection):
            await connection.execute(statement, start, start + step)
            await connection.execute(sql.of("set_part"), part, left - 1, left == 1)
