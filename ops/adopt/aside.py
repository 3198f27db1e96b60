"""Moves the first version's tables out of the way, and back: only names change, so it takes milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg

from traksense_ingest.ops.adopt import compat, sql
from traksense_ingest.ops.adopt.database import (
    COPIED,
    COPYING,
    DROPPED,
    NEW,
    OLD,
    UNDONE,
    Relation,
    has_schema,
    has_timescaledb,
    relations,
    set_schema,
    size,
    state,
)
from traksense_ingest.ops.schema import Refused

# Each waits until nobody uses the table, and all others queue behind it: so give up soon, and try again.
LOCK_TIMEOUT = "SET LOCAL lock_timeout = '2s'"

OURS = (
    "ts_measure",
    "cmd_ack",
    "command",
    "console_action",
    "device_event",
    "device",
    "device_point",
    "device_status",
    "ingest_errors",
    "sparkplug_birth",
    "stream_ledger",
    "schema_migrations",
)


async def move_aside(connection: Any) -> list[str]:
    """`public` → `v1`, in one transaction, which is the caller's; what TimescaleDB does there by itself pauses.

    Returns what was done, a line each. Raises what asyncpg raises, and Refused where a name is taken.
    """
    await require_room(connection)
    await connection.execute(LOCK_TIMEOUT)
    moved = await relations(connection, "public")
    await _lock(connection, "public", moved)
    await connection.execute(sql.of("create_state"))
    jobs = await _pause(connection, moved)
    await connection.execute(f"CREATE SCHEMA {OLD}")
    await set_schema(connection, "public", OLD)
    await connection.execute(sql.of("keep_relations"), [relation.name for relation in moved])
    await _let_in(connection, OLD)
    await connection.execute(sql.of("set_state"), COPYING, jobs)
    lines = [f"{', '.join(sorted(relation.name for relation in moved))}: moved to the schema {OLD}"]
    if jobs:
        lines.append(f"{OLD}: retention, compression and refreshes pause")
    if await has_schema(connection, NEW):
        lines += await _return_ours(connection)
    return lines


async def undo(connection: Any) -> list[str]:
    """`v1` → `public`, and the tables of this version → `v2`; in one transaction, which is the caller's.

    Raises Refused where there is nothing to undo.
    """
    found = await state(connection)
    if found is None or found.status == UNDONE:
        raise Refused("--undo-adopt: no adoption was begun here")
    if found.status == DROPPED:
        raise Refused("--undo-adopt: the tables of the first version were dropped, and nothing can bring them back")
    await connection.execute(LOCK_TIMEOUT)
    await _lock(connection, OLD, await relations(connection, OLD))
    await compat.drop(connection)
    await _schedule_ours(connection, False)
    await connection.execute(f"CREATE SCHEMA {NEW}")
    found_ours = await connection.fetch(sql.of("ours"), "public", list(OURS))
    ours = [row["name"] for row in found_ours]
    for row in found_ours:
        await connection.execute(f"ALTER {row['kind']} public.{row['name']} SET SCHEMA {NEW}")
    await set_schema(connection, OLD, "public")
    if found.jobs:
        await connection.execute(sql.of("schedule"), found.jobs, True)
    await connection.execute(f"DROP SCHEMA {OLD}")
    await connection.execute(sql.of("set_status"), UNDONE)
    if "ts_measure" not in ours:  # the migrations had not come yet
        await connection.execute(f"DROP SCHEMA {NEW}")
        return ["the tables of the first version are back in the schema public"]
    since = await connection.fetchval(sql.of("stored_since"), found.begun_at)
    return [
        "the tables of the first version are back in the schema public",
        f"{', '.join(ours)}: moved to the schema {NEW}, with {since} rows of telemetry of the time since the adoption",
        "`--adopt` brings them back",
    ]


async def drop_old(connection: Any) -> list[str]:
    """Drop the schema `v1`; in one transaction, which is the caller's. Raises Refused before all is copied."""
    found = await state(connection)
    if found is None or found.status != COPIED:
        why = "they are not copied yet" if found and found.status == COPYING else "there are none"
        raise Refused(f"--drop-v1: the tables of the first version can't be dropped: {why}")
    space = await size(connection, OLD)
    try:
        for relation in await relations(connection, OLD):
            await connection.execute(f"DROP {relation.kind} {OLD}.{relation.name}")
        await connection.execute(f"DROP SCHEMA {OLD}")
    except asyncpg.DependentObjectsStillExistError as error:
        raise Refused(f"--drop-v1: {error}: {error.detail or 'something else'}; drop that first") from None
    await connection.execute(sql.of("set_status"), DROPPED)
    return [f"the tables of the first version are dropped, with {space}"]


async def require_room(connection: Any) -> None:
    """Raise Refused where a name that is needed belongs to something else."""
    has_ours = await has_schema(connection, NEW)
    for name in [OLD] if has_ours else [OLD, "tenant"]:
        if await has_schema(connection, name):
            raise Refused(f"--adopt: there is a schema {name} already, whose name is needed: rename it")
    moved = {relation.name for relation in await relations(connection, "public")}
    taken = [row["name"] for row in await connection.fetch(sql.of("ours"), "public", list(OURS))]
    if others := [name for name in taken if name not in moved]:
        raise Refused(f"--adopt: there is a table public.{others[0]} already, whose name is needed: rename it")


async def _lock(connection: Any, schema: str, moved: Sequence[Relation]) -> None:
    """All tables at once, or none: the error names the one that somebody uses."""
    tables = [f"{schema}.{relation.name}" for relation in moved if relation.kind == "TABLE"]
    if tables:
        await connection.execute(sql.of("lock", tables=", ".join(tables)))


async def _pause(connection: Any, moved: Sequence[Relation]) -> list[int]:
    """What TimescaleDB does by itself with these; returns its jobs."""
    if not await has_timescaledb(connection):
        return []
    names = [relation.name for relation in moved]
    jobs = [row["id"] for row in await connection.fetch(sql.of("jobs"), "public", names)]
    await connection.execute(sql.of("schedule"), jobs, False)
    return jobs


async def _schedule_ours(connection: Any, is_scheduled: bool) -> None:
    """The same of this version's tables, which an undo must leave as they are."""
    if await has_timescaledb(connection):
        jobs = [row["id"] for row in await connection.fetch(sql.of("jobs_of_ours"))]
        await connection.execute(sql.of("schedule"), jobs, is_scheduled)


async def _let_in(connection: Any, schema: str) -> None:
    """Whoever reads the old tables goes on reading them."""
    for row in await connection.fetch(sql.of("grantees"), schema):
        await connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO {row['role']}")


async def _return_ours(connection: Any) -> list[str]:
    """After an undo: what was stored then is there again. The first version may have stored more since, so all of it
    is copied once more, which changes nothing that is there."""
    for row in await connection.fetch(sql.of("ours"), NEW, list(OURS)):
        await connection.execute(f"ALTER {row['kind']} {NEW}.{row['name']} SET SCHEMA public")
    await connection.execute(f"DROP SCHEMA {NEW}")
    await connection.execute(sql.of("forget_parts"))
    await _schedule_ours(connection, True)
    return [f"the tables of this version are back from the schema {NEW}"]
