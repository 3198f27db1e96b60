"""How long rows are kept: TimescaleDB's policy on ts_measure, and a job of ours on ingest_errors."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple

from ops.shape import sql


class Job(NamedTuple):
    """One of TimescaleDB's jobs and the age that it is told."""

    id: int
    age: timedelta


async def find(connection: Any, procedure: str, setting: str, table: str | None = "ts_measure") -> Job | None:
    """The job that calls a procedure for a table of ours."""
    found = await connection.fetchrow(sql.JOB, procedure, setting, table)
    return Job(found["job_id"], found["age"]) if found else None


async def keep_rows(connection: Any, days: int | None) -> list[str]:
    """Make the retention of raw telemetry so many days, None for ever; returns what was changed."""
    present = await find(connection, "policy_retention", "drop_after")
    if is_as_wanted(present, days):
        return []
    if present:
        await connection.execute(sql.REMOVE_RETENTION)
    if days:
        await connection.fetchval(sql.ADD_RETENTION, days)
    return [f"ts_measure: rows are kept {_for(days)} (before: {_for(_days(present))})"]


async def keep_dead_letters(connection: Any, days: int | None) -> list[str]:
    """The same of the dead letter queue."""
    present = await find(connection, "purge_dead_letters", "older_than", None)
    if is_as_wanted(present, days):
        return []
    if present:
        await connection.execute(sql.REMOVE_JOB, present.id)
    if days:
        await connection.fetchval(sql.ADD_DLQ_JOB, days)
    return [f"ingest_errors: rows are kept {_for(days)} (before: {_for(_days(present))})"]


def is_as_wanted(present: Job | None, days: int | None) -> bool:
    """Whether there is nothing to change."""
    return _days(present) == days


def _days(present: Job | None) -> float | None:
    return present.age / timedelta(days=1) if present else None


def _for(days: float | None) -> str:
    return f"{days:g} days" if days else "for ever"
