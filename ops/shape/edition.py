"""What this database can do of what is wanted: all of it, or nothing, and then what to do instead."""

from __future__ import annotations

from typing import Any

from ops.shape import sql
from ops.shape.wanted import Wanted

OLDEST = (2, 18)


async def lacking(connection: Any) -> str | None:
    """Why policies and aggregates are not to be had here, or None."""
    found = await connection.fetchrow(sql.EDITION)
    if found is None:
        return "this PostgreSQL has no timescaledb"
    if found["license"] != "timescale":
        return (
            "this timescaledb is its Apache edition; the Community edition has it (timescaledb.license = 'timescale')"
        )
    if _version(found["version"]) < OLDEST:
        return f"timescaledb {found['version']} is too old, 2.18 or newer is needed"
    if not await connection.fetchval(sql.IS_HYPERTABLE):
        return "ts_measure was made a plain table before timescaledb came"
    return None


async def advice(connection: Any, wanted: Wanted, reason: str) -> list[str]:
    """A line for each variable that can't be followed."""
    lines = []
    if wanted.retention:
        lines.append(
            f"INGEST_RETENTION_DAYS={wanted.retention}: {reason}; {await _by_hand(connection, wanted.retention)}"
        )
    if wanted.dlq_retention:
        command = f"traksense-ingest dlq purge --older-than {wanted.dlq_retention}d --yes"
        lines.append(f"INGEST_DLQ_RETENTION_DAYS={wanted.dlq_retention}: {reason}; let cron run `{command}`")
    if wanted.compress_after:
        lines.append(f"INGEST_COMPRESS_AFTER_DAYS={wanted.compress_after}: {reason}; nothing is compressed")
    if wanted.aggregates:
        lines.append(f"INGEST_AGGREGATES={','.join(wanted.aggregates)}: {reason}; there are no aggregates")
    return lines


async def _by_hand(connection: Any, days: int) -> str:
    is_hypertable = await connection.fetchrow(sql.EDITION) and await connection.fetchval(sql.IS_HYPERTABLE)
    statement = (
        f"SELECT drop_chunks('ts_measure', INTERVAL '{days} days')"
        if is_hypertable
        else f"DELETE FROM ts_measure WHERE ts < now() - INTERVAL '{days} days'"  # noqa: S608
    )
    return f"let cron run `{statement}` as the tables' owner"


def _version(text: str) -> tuple[int, ...]:
    """Of `2.28.4` or `2.29.0-dev`."""
    return tuple(int(part) for part in text.partition("-")[0].split("."))
