"""Moves the first version's tables out of the way, and back: only names change, so it takes milliseconds."""

from __future__ import annotations

import json
from typing import Any

from traksense_ingest.ops.adopt import compat, sql
from traksense_ingest.ops.adopt.database import (
    COPIED,
    COPYING,
    DROPPED,
    NEW,
    OLD,
    UNDONE,
    has_schema,
    has_timescaledb,
    relations,
    state,
)
from traksense_ingest.ops.schema import Refused

# Each waits until nobody uses the table, and all others queue behind it: so give up soon, and try again.
LOCK_TIMEOUT = "SET LOCAL lock_timeout = '2s'"

OURS = (
    "ts_measure",
    "cmd_ack",
    "command",
    "device_event",
    "device",
    "device_point",
    "ingest_errors",
    "sparkplug_birth",
    "stream_ledger",
    "schema_migrations",
)


async def move_aside(connection: Any) -> list[str]:
    """`public` → `v1`, in one transaction, which is the caller's; the old retention is taken off until all is copied.

    Returns what was done, a line each. Raises what asyncpg raises, and Refused where a schema of that name is there.
    """
    await connection.execute(LOCK_TIMEOUT)
    await _require_room(connection)
    await connection.execute(sql.of("create_state"))
    retention = await _retention(connection)
    moved = await relations(connection, "public")
    await connection.execute(f"CREATE SCHEMA {OLD}")
    if retention:
        await connection.execute("SELECT remove_retention_policy('public.ts_measure')")
    for relation in moved:
        await connection.execute(f"ALTER {relation.kind} public.{relation.name} SET SCHEMA {OLD}")
    await connection.execute(sql.of("keep_relations"), [relation.name for relation in moved])
    await _let_in(connection, OLD)
    drop_after = retention["drop_after"] if retention else None
    complete_from = await connection.fetchval(sql.of("complete_from"), drop_after)
    await connection.execute(sql.of("set_state"), COPYING, json.dumps(retention), complete_from)
    lines = [f"{', '.join(sorted(relation.name for relation in moved))}: moved to the schema {OLD}"]
    if retention:
        lines.append(f"{OLD}.ts_measure: nothing is dropped after {drop_after} any more")
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
    await compat.drop(connection)
    await connection.execute(f"CREATE SCHEMA {NEW}")
    ours = [row["name"] for row in await connection.fetch(sql.of("ours"), "public", list(OURS))]
    for name in ours:
        await connection.execute(f"ALTER TABLE public.{name} SET SCHEMA {NEW}")
    for relation in await relations(connection, OLD):
        await connection.execute(f"ALTER {relation.kind} {OLD}.{relation.name} SET SCHEMA public")
    if found.retention:
        keep = found.retention
        await connection.fetchval(sql.of("add_retention"), keep["drop_after"], keep["schedule_interval"])
    await connection.execute(f"DROP SCHEMA {OLD}")
    await connection.execute(sql.of("set_status"), UNDONE)
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
    size = await connection.fetchval(sql.of("size"), OLD)
    for relation in await relations(connection, OLD):
        await connection.execute(f"DROP {relation.kind} IF EXISTS {OLD}.{relation.name} CASCADE")
    await connection.execute(f"DROP SCHEMA {OLD} CASCADE")
    await connection.execute(sql.of("set_status"), DROPPED)
    return [f"the tables of the first version are dropped, with {size}"]


async def _require_room(connection: Any) -> None:
    taken = [OLD] if await has_schema(connection, NEW) else [OLD, "tenant"]
    for name in taken:
        if await has_schema(connection, name):
            raise Refused(f"--adopt: there is a schema {name} already, whose name is needed: rename it")


async def _retention(connection: Any) -> dict[str, str] | None:
    """Of the first version's rows, where TimescaleDB drops them."""
    if not await has_timescaledb(connection):
        return None
    row = await connection.fetchrow(sql.of("retention"), "public")
    return {key: row[key] for key in ("drop_after", "schedule_interval")} if row else None


async def _let_in(connection: Any, schema: str) -> None:
    """Whoever reads the old tables goes on reading them."""
    for row in await connection.fetch(sql.of("grantees"), schema):
        role = '"' + row["role"].replace('"', '""') + '"'
        await connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO {role}")


async def _return_ours(connection: Any) -> list[str]:
    """After an undo: what was stored then is there again. The first version may have stored more since, so all of it
    is copied once more, which changes nothing that is there."""
    for row in await connection.fetch(sql.of("ours"), NEW, list(OURS)):
        await connection.execute(f"ALTER TABLE {NEW}.{row['name']} SET SCHEMA public")
    await connection.execute(f"DROP SCHEMA {NEW}")
    await connection.execute(sql.of("forget_parts"))
    return [f"the tables of this version are back from the schema {NEW}"]
