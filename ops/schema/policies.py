"""Retention: TimescaleDB's policy on ts_measure and our job on ingest_errors. Compression of old chunks, which excludes
row level security. When a command is overdue."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple

from traksense_ingest.ops.schema import sql


class Job(NamedTuple):
    """One of TimescaleDB's jobs, and the age that it is configured with."""

    id: int
    age: timedelta


async def find_job(connection: Any, procedure: str, setting: str, table: str | None = "ts_measure") -> Job | None:
    """The job that calls a procedure for a table of ours."""
    found = await connection.fetchrow(sql.JOB, procedure, setting, table)
    return Job(found["job_id"], found["age"]) if found else None


async def keep_rows(connection: Any, days: int | None) -> list[str]:
    """Set the retention of raw telemetry in days, None for ever; returns what was changed."""
    existing = await find_job(connection, "policy_retention", "drop_after")
    if _matches(existing, days):
        return []
    if existing:
        await connection.execute(sql.REMOVE_RETENTION)
    if days:
        await connection.fetchval(sql.ADD_RETENTION, days)
    return [f"ts_measure: rows are kept {_for(days)} (before: {_for(_days(existing))})"]


async def keep_dead_letters(connection: Any, days: int | None) -> list[str]:
    """The same for the dead letter queue."""
    existing = await find_job(connection, "purge_dead_letters", "older_than", None)
    if _matches(existing, days):
        return []
    if existing:
        await connection.execute(sql.REMOVE_JOB, existing.id)
    if days:
        await connection.fetchval(sql.ADD_DLQ_JOB, days)
    return [f"ingest_errors: rows are kept {_for(days)} (before: {_for(_days(existing))})"]


async def set_ack_timeout(connection: Any, seconds: int) -> list[str]:
    """Set how many seconds after it was sent a command without an ACK is overdue; returns what was changed."""
    existing = await connection.fetchval(sql.ACK_TIMEOUT)
    if existing == seconds:
        return []
    await connection.execute(sql.SET_ACK_TIMEOUT.format(seconds=seconds))
    return [f"command: overdue {seconds} s after it was sent (before: {existing} s)"]


def _matches(existing: Job | None, days: int | None) -> bool:
    return _days(existing) == days


def _days(existing: Job | None) -> float | None:
    return existing.age / timedelta(days=1) if existing else None


def _for(days: float | None) -> str:
    return f"{days:g} days" if days else "for ever"


async def compress(connection: Any, days: int | None) -> list[str]:
    """Compress chunks some days after their end, None never; returns what was changed."""
    existing = await find_job(connection, "policy_compression", "compress_after")
    changes = [] if _matches(existing, days) else [_compression(days)]
    if changes and existing:
        await connection.execute(sql.REMOVE_COLUMNSTORE_POLICY)
    if days:
        changes += await _enable(connection)
    if changes and days:
        await connection.execute(sql.ADD_COLUMNSTORE_POLICY.format(days=days))
    return changes if days else changes + await _disable(connection)


async def compressed_chunks(connection: Any) -> int:
    """How many chunks are compressed."""
    return int((await connection.fetchrow(sql.COLUMNSTORE))["chunks"])


async def is_enabled(connection: Any) -> bool:
    """Whether chunks may be compressed."""
    return bool((await connection.fetchrow(sql.COLUMNSTORE))["is_enabled"])


async def _enable(connection: Any) -> list[str]:
    if await is_enabled(connection):
        return []
    await connection.execute(sql.DISABLE_ROW_SECURITY)
    await connection.execute(sql.ENABLE_COLUMNSTORE)
    return ["ts_measure: row level security is off; readers read the views in the schema tenant"]


async def _disable(connection: Any) -> list[str]:
    """Only when no chunk is compressed any more: TimescaleDB refuses it before."""
    if not await is_enabled(connection) or await compressed_chunks(connection):
        return []
    await connection.execute(sql.DISABLE_COLUMNSTORE)
    await connection.execute(sql.ENABLE_ROW_SECURITY)
    return ["ts_measure: row level security is on again"]


def _compression(days: int | None) -> str:
    return f"ts_measure: chunks are compressed after {days} days" if days else "ts_measure: chunks are not compressed"
