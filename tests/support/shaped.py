"""A database that `migrate` has shaped: rows of several tenants and days, and its jobs run at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from tests.support.waiting import eventually

TENANTS = ("one", "two", "%", "o'ne", "one ")
READER = "reader"

_ROWS = """
INSERT INTO ts_measure (tenant_id, device_id, point_id, ts, v_num, unit)
SELECT tenant, 'dev', 'temp', date_trunc('hour', now()) - make_interval(days => day, secs => 10 * second), number, '°C'
FROM unnest($1::text[]) WITH ORDINALITY AS tenants (tenant, number),
    unnest($2::integer[]) AS day, generate_series(1, 30) AS second
"""

_OTHERS = """
INSERT INTO cmd_ack (tenant_id, device_id, cmd_id, ok, payload)
    SELECT tenant, 'dev', 'c', true, '{}' FROM unnest($1::text[]) AS tenant;
INSERT INTO device_event (tenant_id, device_id, event_id, event_type, ts)
    SELECT tenant, 'dev', 'e', 'boot', now() FROM unnest($1::text[]) AS tenant;
INSERT INTO device (tenant_id, device_id, site_id, first_seen, last_seen)
    SELECT tenant, 'dev', 's', now(), now() FROM unnest($1::text[]) AS tenant;
INSERT INTO device_point (tenant_id, device_id, point_id, first_seen)
    SELECT tenant, 'dev', 'temp', now() FROM unnest($1::text[]) AS tenant;
INSERT INTO ingest_errors (tenant_id, topic, payload, reason, error_class, stream, entry_id, deliveries)
    SELECT tenant, 't', '', 'r', 'c', 's', coalesce(tenant, 'nobody''s'), 1
    FROM unnest($1::text[] || NULL::text) AS tenant
"""


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    """A connection for as long as the block."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def login(url: str, options: str = "", grant: str = "SELECT 1") -> AsyncIterator[Any]:
    """A connection as a role of this database's own; `{role}` stands for its name."""
    role = f"{READER}_{url.rpartition('/')[2]}"
    async with connected(url) as owner:
        await owner.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{READER}' {options}")
        try:
            await owner.execute(grant.format(role=role))
            async with connected(url.replace("//postgres:postgres@", f"//{role}:{READER}@")) as connection:
                yield connection
        finally:
            await owner.execute(f"DROP OWNED BY {role}")
            await owner.execute(f"DROP ROLE {role}")


async def fill(connection: Any, *days_ago: int) -> None:
    """A row in each table, and of telemetry 30 in five minutes: each 1 of the first tenant, 2 of the second, …"""
    await connection.execute(_ROWS, TENANTS, days_ago)
    for statement in _OTHERS.split(";"):
        await connection.execute(statement, TENANTS)


async def run_jobs(connection: Any, procedure: str) -> None:
    """What TimescaleDB's scheduler does in its own time; an aggregate after the one that it is made from."""
    for row in await connection.fetch(_JOBS, procedure):
        await eventually(lambda: _ran(connection, row["job_id"]), f"job {row['job_id']} to run")  # noqa: B023


async def refresh(connection: Any) -> None:
    """Every aggregate, by its policy."""
    await run_jobs(connection, "policy_refresh_continuous_aggregate")


async def _ran(connection: Any, job: int) -> bool:
    """False while the scheduler runs the same one, or has a lock on a chunk that it is about."""
    try:
        await connection.execute(f"CALL run_job({job})")
    except asyncpg.LockNotAvailableError:
        return False
    except asyncpg.DataError as error:
        if "policy failure" not in str(error):
            raise
        return False
    return True


_JOBS = """
SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = $1
ORDER BY array_position(ARRAY['ts_measure_1m', 'ts_measure_5m', 'ts_measure_1h'], hypertable_name::text), job_id
"""
