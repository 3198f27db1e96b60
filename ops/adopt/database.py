"""What a database of the first version has, and how far the adoption has come."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, NamedTuple

from traksense_ingest.ops.adopt import sql
from traksense_ingest.ops.schema import Refused
from traksense_ingest.ops.schema.migrate import lock
from traksense_ingest.ops.schema.sql import IS_FIRST_VERSION

COPYING, COPIED, UNDONE, DROPPED = "copying", "copied", "undone", "dropped"
OLD, NEW = "v1", "v2"  # schemas: the first version's tables after the adoption, and this version's after an undo
ALL_ROWS = "SET LOCAL row_security = off"  # an error instead of rows that are left out
AGGREGATES = {"1m": "1 minute", "5m": "5 minutes", "1h": "1 hour"}


class Relation(NamedTuple):
    """A table, view or aggregate of the first version."""

    name: str
    kind: str  # TABLE, VIEW, MATERIALIZED VIEW


class Chunk(NamedTuple):
    """A part of ts_measure in a file of its own; all of it where it is a plain table."""

    name: str  # quoted, with its schema
    is_compressed: bool = False


class State(NamedTuple):
    """How far an adoption has come."""

    status: str
    begun_at: datetime
    jobs: Sequence[int]  # of TimescaleDB on the first version's tables, which pause


@asynccontextmanager
async def transaction(connection: Any) -> AsyncIterator[None]:
    """A transaction that holds the migration lock and reads all rows; raises what asyncpg raises."""
    async with lock(connection):
        await connection.execute(ALL_ROWS)
        yield


async def require_readable(connection: Any, schema: str) -> None:
    """Raise Refused where row level security is forced on the owner too: most rows would stay behind."""
    if tables := [row["name"] for row in await connection.fetch(sql.of("forced"), schema)]:
        statements = "; ".join(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY" for table in tables)
        raise Refused(
            f"--adopt: {', '.join(tables)}: FORCE ROW LEVEL SECURITY hides rows from this role: give it BYPASSRLS, or "
            f"run: {statements}"
        )


async def is_first_version(connection: Any) -> bool:
    """Whether the tables in `public` are those of the first version."""
    return bool(await connection.fetchval(IS_FIRST_VERSION))


async def state(connection: Any) -> State | None:
    """Of the adoption; None before the first one."""
    if not await has_schema(connection, "adoption"):
        return None
    row = await connection.fetchrow(sql.of("state"))
    if row is None:
        return None
    return State(row["status"], row["begun_at"], row["jobs"])


async def has_schema(connection: Any, name: str) -> bool:
    """Whether there is a schema of this name."""
    return bool(await connection.fetchval(sql.of("has_schema"), name))


async def has_timescaledb(connection: Any) -> bool:
    """Whether the extension is in this database."""
    return bool(await connection.fetchval(sql.of("has_timescaledb")))


async def relations(connection: Any, schema: str) -> list[Relation]:
    """What the first version made, in a schema."""
    aggregates = sql.of("aggregates" if await has_timescaledb(connection) else "no_aggregates")
    rows = await connection.fetch(sql.of("relations").replace("{aggregates}", aggregates), schema)
    return [Relation(row["name"], row["kind"]) for row in rows]


async def set_schema(connection: Any, old: str, new: str) -> None:
    """Move what the first version made from a schema to another, and the partitions that are there with their table."""
    for row in await connection.fetch(sql.of("partitions"), old):
        await connection.execute(f"ALTER TABLE {old}.{row['name']} SET SCHEMA {new}")
    for relation in await relations(connection, old):
        await connection.execute(f"ALTER {relation.kind} {old}.{relation.name} SET SCHEMA {new}")


async def chunks(connection: Any, schema: str) -> Sequence[Chunk]:
    """Of ts_measure, the newest first."""
    if await has_timescaledb(connection) and await connection.fetchval(sql.of("is_hypertable"), schema):
        return [Chunk(row["name"], row["is_compressed"]) for row in await connection.fetch(sql.of("chunks"), schema)]
    table = f"{schema}.ts_measure"
    return [Chunk(row["name"]) for row in await connection.fetch(sql.of("leaves"), table)] or [Chunk(table)]


async def blocks(connection: Any, chunk: Chunk) -> int:
    """How large its file is."""
    return int(await connection.fetchval(sql.of("blocks", chunk=chunk.name)))


async def size(connection: Any, schema: str) -> str:
    """How much space the tables and aggregates of a schema take."""
    found = await connection.fetchval(sql.of("size"), schema)
    if await has_timescaledb(connection):
        found += await connection.fetchval(sql.of("size_of_chunks"), schema)
    return str(await connection.fetchval("SELECT pg_size_pretty($1::bigint)", found))


async def has_relation(connection: Any, name: str) -> bool:
    """Whether there is a table or a view of this name."""
    return bool(await connection.fetchval(sql.of("aggregate_exists"), name))
