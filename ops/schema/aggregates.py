"""Continuous aggregates of ts_measure, each made from the next finer one, with a view for readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import asyncpg

from traksense_ingest.ops.schema import Refused, sql
from traksense_ingest.ops.schema.policies import is_enabled

BUCKETS = {"1m": "1 minute", "5m": "5 minutes", "1h": "1 hour"}  # finest first
MARGIN = timedelta(days=1)
_UNKNOWN = timedelta(days=1)
_BOOLEANS = {"count_true": "count_true", "count_bool": "count_bool"}
_NO_BOOLEANS = {"count_true": "NULL::bigint", "count_bool": "NULL::bigint"}  # of an older version's aggregate


class ExistingAggregate(NamedTuple):
    """A continuous aggregate in the database."""

    name: str
    source: str | None  # another aggregate; None: the rows themselves
    is_refreshed: bool
    start: timedelta | None  # how far back it is refreshed; None: to the beginning
    size: str


async def existing_aggregates(connection: Any) -> dict[str, ExistingAggregate]:
    """By name, finest first."""
    found = {row["name"]: ExistingAggregate(**row) for row in await connection.fetch(sql.AGGREGATES)}
    return {name: found[name] for name in BUCKETS if name in found}


async def update_aggregates(connection: Any, names: Sequence[str], retention: int | None) -> list[str]:
    """Create the missing ones of these, and set the refresh of all; returns what was changed."""
    existing = await existing_aggregates(connection)
    missing = [name for name in BUCKETS if name in names and name not in existing]
    changes = await _create(connection, missing, existing)
    for name, one in (await existing_aggregates(connection)).items():
        if not await connection.fetchval(sql.VIEW_HAS_BOOLEANS.format(name=name)):
            await _replace_view(connection, name, has_aggregate=True)
            changes.append(f"tenant.ts_measure_{name}: has the columns count_true, count_bool and on_ratio")
        changes += await _refresh(connection, one, window(one, retention, is_new=name in missing))
    return changes


async def drop_aggregates(connection: Any, names: Sequence[str]) -> list[str]:
    """Drop all but these, with their data; returns what was changed. Raises Refused."""
    existing = await existing_aggregates(connection)
    for one in existing.values():
        if one.name in names and one.source and one.source not in names:
            raise Refused(
                f"INGEST_AGGREGATES={','.join(names)}: ts_measure_{one.name} is made from ts_measure_{one.source}, "
                "which can't be dropped without it"
            )
    unwanted = [existing[name] for name in reversed(BUCKETS) if name in existing and name not in names]
    try:
        for one in unwanted:
            await _replace_view(connection, one.name, has_aggregate=False)
            await connection.execute(sql.DROP.format(name=one.name))
    except asyncpg.DependentObjectsStillExistError as error:
        raise Refused(f"--drop-aggregates: {error}: {error.detail or 'something else'}; drop that first") from None
    return [f"aggregates.ts_measure_{one.name}: dropped, with {one.size}" for one in unwanted]


def window(one: ExistingAggregate, retention: int | None, *, is_new: bool) -> timedelta | None:
    """How far back an aggregate may be refreshed; None: to the beginning.

    A refresh deletes buckets whose rows are gone. So one that is made from rows never reaches back as far as they are
    kept, and never farther than before, since older rows may have been dropped under an earlier retention.
    """
    if one.source:
        return None
    known = timedelta(days=retention) - MARGIN if retention else None
    before = None if is_new else one.start if one.is_refreshed else _UNKNOWN
    return min((limit for limit in (known, before) if limit is not None), default=None)


async def _create(connection: Any, missing: Sequence[str], existing: Mapping[str, ExistingAggregate]) -> list[str]:
    """TimescaleDB refuses to create one on a table with row level security: it is off until this is done."""
    if not missing:
        return []
    is_compressing = await is_enabled(connection)
    await connection.execute(sql.CREATE_SCHEMA)
    if not is_compressing:
        await connection.execute(sql.DISABLE_ROW_SECURITY)
    changes = []
    for name in missing:
        source = _next_finer(name, {*existing, *missing})
        await _create_one(connection, name, source)
        changes.append(f"aggregates.ts_measure_{name}: made from {f'ts_measure_{source}' if source else 'ts_measure'}")
    if not is_compressing:
        await connection.execute(sql.ENABLE_ROW_SECURITY)
    return changes


async def _create_one(connection: Any, name: str, source: str | None) -> None:
    create = sql.CREATE_FROM_AGGREGATE if source else sql.CREATE_FROM_ROWS
    has_booleans = source and await connection.fetchval(sql.HAS_BOOLEANS.format(name=source))
    booleans = sql.BOOLEANS if has_booleans else ""
    await connection.execute(create.format(name=name, bucket=BUCKETS[name], source=source, booleans=booleans))
    await connection.execute(sql.CREATE_INDEX.format(name=name))
    await _replace_view(connection, name, has_aggregate=True)


async def replace_views(connection: Any) -> None:
    """The views for readers, as the aggregates and the history of the first version now are."""
    existing = await existing_aggregates(connection) if await connection.fetchrow(sql.EDITION) else {}
    for name in BUCKETS:
        await _replace_view(connection, name, has_aggregate=name in existing)


async def _replace_view(connection: Any, name: str, *, has_aggregate: bool) -> None:
    """Of an aggregate, of the history that the first version has left of it, or of both."""
    has_history = await connection.fetchval(sql.HAS_HISTORY.format(name=name))
    if not (has_aggregate or has_history):
        await connection.execute(sql.DROP_VIEW.format(name=name))
        return
    has_booleans = has_aggregate and await connection.fetchval(sql.HAS_BOOLEANS.format(name=name))
    columns = _BOOLEANS if has_booleans else _NO_BOOLEANS
    if has_history:
        create = sql.CREATE_COMPLETE if has_aggregate else sql.CREATE_COMPLETE_OF_HISTORY
        adopted_at = await connection.fetchval(sql.ADOPTED_AT)
        await connection.execute(create.format(name=name, adopted_at=adopted_at, **columns))
        columns = _BOOLEANS
    source = f"complete_{name}" if has_history else f"ts_measure_{name}"
    await connection.execute(sql.CREATE_VIEW.format(name=name, source=source, **columns))
    if await connection.fetchval(sql.HAS_READER):
        await connection.execute(sql.GRANT.format(name=name))


def _next_finer(name: str, names: set[str]) -> str | None:
    order = list(BUCKETS)
    finer = [one for one in order[: order.index(name)] if one in names]
    return finer[-1] if finer else None


async def _refresh(connection: Any, one: ExistingAggregate, start: timedelta | None) -> list[str]:
    if one.is_refreshed and one.start == start:
        return []
    if one.is_refreshed:
        await connection.execute(sql.REMOVE_REFRESH.format(name=one.name))
    await connection.fetchval(sql.ADD_REFRESH.format(name=one.name, bucket=BUCKETS[one.name]), start)
    reach = f"as far back as {start.days} days" if start else "to the beginning"
    return [f"aggregates.ts_measure_{one.name}: refreshed every {BUCKETS[one.name].removeprefix('1 ')}, {reach}"]
