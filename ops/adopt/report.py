"""What an adoption will do, and what it did: rows by tenant, names that are missing, and the time that it takes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.text import Text

from traksense_ingest.ops.adopt import sql
from traksense_ingest.ops.adopt.database import AGGREGATES, OLD, blocks, chunks, has_relation
from traksense_ingest.ops.adopt.names import UUID, NameMaps
from traksense_ingest.ops.terminal import duration, printable, table

SAMPLE_BLOCKS = 512
LISTED = 20  # of ids without a name


class Counts(NamedTuple):
    """Rows of one tenant's telemetry."""

    rows: int
    duplicates: int  # whose key another row has too
    conflicts: int  # those of them that say something else


async def count_rows(connection: Any, schema: str) -> dict[str, Counts]:
    """Of the first version's tables, by the tenant's id."""
    found: dict[str, Counts] = {}
    for chunk in await chunks(connection, schema):
        for row in await connection.fetch(sql.of("counts", chunk=chunk.name)):
            before = found.get(row["tenant"], Counts(0, 0, 0))
            more = Counts(row["rows"], row["duplicates"], row["conflicts"] or 0)
            found[row["tenant"]] = Counts(*map(sum, zip(before, more, strict=True)))
    return found


async def number_of(connection: Any, relation: str) -> int:
    """How many rows a table has; 0 where it isn't there."""
    if not await has_relation(connection, relation):
        return 0
    return int(await connection.fetchval(sql.of("number_of", table=relation)))


async def show_plan(connection: Any, console: Console, schema: str, maps: NameMaps) -> None:
    """What `--adopt` would do with the tables in a schema; changes nothing."""
    counts = await count_rows(connection, schema)
    _show_tenants(console, [(maps.tenant(old), one) for old, one in counts.items()])
    for name in ("cmd_ack", "ingest_errors"):
        console.print(f"{name}: {await number_of(connection, f'{schema}.{name}')} rows")
    for name in AGGREGATES:
        if await has_relation(connection, f"{schema}.ts_measure_{name}"):
            console.print(f"ts_measure_{name}: its history is kept")
    ids = [(row["tenant"], row["device"]) for row in await connection.fetch(sql.of("used_ids", schema=schema))]
    show_names(console, maps, ids)
    points = [row["point"] for row in await connection.fetch(sql.of("used_points", schema=schema))]
    _list(console, "points without a name, whose ids are kept", unnamed_points(maps, points))
    if seconds := await _seconds(connection, schema, sum(one.rows for one in counts.values())):
        console.print(f"copying takes about {duration(seconds)}, while writers write")


def show_names(console: Console, maps: NameMaps, ids: Sequence[tuple[str, str]]) -> None:
    """Which ids get no name."""
    _list(console, "ids without a name, which are kept as text", maps.unmapped(ids))
    _list(console, "names that are not used", maps.ambiguous)
    _list(console, "ids in the files that no row has", maps.unused(ids))


def unnamed_points(maps: NameMaps, points: Iterable[str]) -> list[str]:
    """Those whose id is a UUID."""
    return [f"point {point}" for point in points if UUID.fullmatch(point) and point not in maps.points]


async def show_result(connection: Any, console: Console) -> None:
    """What was copied, by tenant."""
    rows = await connection.fetch(sql.of("report"))
    shown = table(console.width, "tenant", "rows", "stored", "duplicates", "conflicts")
    for row in rows:
        shown.add_row(
            Text(printable(row["tenant"])), *(str(row[name]) for name in ("rows", "stored", "duplicates", "conflicts"))
        )
    console.print(shown)
    for name, statement in (("ts_measure", "incomplete_measures"), ("cmd_ack", "incomplete_acks")):
        left = await connection.fetchval(sql.of(statement)) if await has_relation(connection, f"{OLD}.{name}") else 0
        if left:
            console.print(
                f"{name}: {left} rows without an id or a result, or of a time before 2000 or after 2100, stay in {OLD}",
                soft_wrap=True,
            )
    if conflicts := sum(row["conflicts"] for row in rows):
        console.print(
            f"{conflicts} rows say something else than the row that is stored, and are kept in adoption.conflict",
            soft_wrap=True,
        )


def _show_tenants(console: Console, counts: Iterable[tuple[str, Counts]]) -> None:
    shown = table(console.width, "tenant", "rows", "duplicates", "conflicts")
    for tenant, one in sorted(counts):
        shown.add_row(Text(printable(tenant)), str(one.rows), str(one.duplicates), str(one.conflicts))
    console.print(shown)


def _list(console: Console, what: str, lines: list[str]) -> None:
    if not lines:
        return
    console.print(f"{what}: {len(lines)}")
    for line in lines[:LISTED]:
        console.print(f"  {printable(line)}", markup=False, soft_wrap=True)
    if len(lines) > LISTED:
        console.print(f"  … and {len(lines) - LISTED} more")


async def _seconds(connection: Any, schema: str, rows: int) -> float | None:
    """From the time that a portion takes here, into a table with the same key."""
    for chunk in await chunks(connection, schema):
        if chunk.is_compressed or not await blocks(connection, chunk):
            continue
        started = time.monotonic()
        await connection.execute(sql.of("rehearse", chunk=chunk.name, last=SAMPLE_BLOCKS))
        sample = await connection.fetchval("SELECT count(*) FROM rehearsal")
        return (time.monotonic() - started) * rows / sample if sample else None
    return None
