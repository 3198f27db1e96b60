"""Grafana's role in a database of two tenants, as deploy/postgres/reader.sql makes it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from tests.support.shaped import connected

FOLDER = Path(__file__).parents[2] / "deploy" / "postgres"
TENANT, RIVAL = "o'ne", "rival"
PASSWORD = "reader's"

# Of each tenant two devices, whose names begin with the tenant's: 5 minutes of readings each 10 seconds, 3 times; p1 is
# 1, 2, 3, …, and p2 is true for a third of them. The newest event, ACK and reading is some minutes old.
FILL = """
INSERT INTO ts_measure (tenant_id, device_id, point_id, ts, v_num, v_bool, unit)
    SELECT tenant, tenant || device, 'p' || point,
        date_trunc('minute', now()) - make_interval(hours => ago) - make_interval(secs => 10 * n),
        CASE point WHEN 1 THEN n END, CASE point WHEN 2 THEN n % 3 = 0 END, CASE point WHEN 1 THEN '°C' END
    FROM unnest($1::text[]) AS tenant, generate_series(1, 2) AS device, generate_series(1, 2) AS point,
        unnest('{0, 20, 300}'::integer[]) AS ago, generate_series(1, 30) AS n;
INSERT INTO device (tenant_id, device_id, site_id, first_seen, last_seen, interval_s, skew_s)
    SELECT tenant, tenant || device, tenant, now(), now() - make_interval(mins => 60 * device - 60), 100, 90 * device
    FROM unnest($1::text[]) AS tenant, generate_series(1, 2) AS device;
INSERT INTO device_point SELECT tenant, tenant || device, 'p' || point, CASE point WHEN 1 THEN '°C' END, now()
    FROM unnest($1::text[]) AS tenant, generate_series(1, 2) AS device, generate_series(1, 2) AS point;
INSERT INTO command SELECT tenant, tenant || 1, 'c' || n, now() - make_interval(mins => 5 * n), tenant, '{}'
    FROM unnest($1::text[]) AS tenant, generate_series(1, 3) AS n;
INSERT INTO cmd_ack (tenant_id, device_id, cmd_id, ok, payload, created_at)
    SELECT tenant, tenant || 1, 'c' || n, n = 1, '{}', now() - make_interval(mins => 5 * n) + interval '2 s'
    FROM unnest($1::text[]) AS tenant, generate_series(1, 2) AS n;
INSERT INTO device_event SELECT tenant, tenant || 1, 'e', 'state', now() - interval '4 min',
        '{"online": true, "state": "online"}', now()
    FROM unnest($1::text[]) AS tenant
"""


def has_psql() -> bool:
    """Whether there is psql 15 or newer, which knows \\getenv."""
    if not shutil.which("psql"):
        return False
    version = subprocess.run(["psql", "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    return float(version.partition(".")[0]) >= 15


async def fill(owner: Any) -> None:
    """The rows of both tenants, at one time."""
    async with owner.transaction():
        for statement in FILL.split(";"):
            await owner.execute(statement, [TENANT, RIVAL])


def run_script(url: str, script: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A script of deploy/postgres by psql, as the tables' owner."""
    command = ["psql", url, "-q", *options, "-f", str(FOLDER / script)]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)


def create_reader(url: str, role: str, tenant: str = TENANT) -> subprocess.CompletedProcess[str]:
    """As an operator does."""
    options = "-v", f"role={role}", "-v", f"tenant={tenant}"
    return run_script(url, "reader.sql", *options, READER_PASSWORD=PASSWORD)


def role_in(url: str) -> str:
    """A name that no other database's test uses: roles belong to the server."""
    return f"Reader of {url.rpartition('/')[2]}"


async def connect_as(url: str, role: str) -> Any:
    """A connection as this role."""
    return await asyncpg.connect(url, user=role, password=PASSWORD)


@asynccontextmanager
async def without_role_afterwards(url: str, *roles: str) -> AsyncIterator[None]:
    """Drop the roles that were made in the block."""
    try:
        yield
    finally:
        async with connected(url) as owner:
            for role in roles:
                if await owner.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", role):
                    await owner.execute(f'DROP OWNED BY "{role}"')
                    await owner.execute(f'DROP ROLE "{role}"')


@asynccontextmanager
async def two_tenants(url: str) -> AsyncIterator[None]:
    """Their rows; the role that a test has made is dropped afterwards."""
    async with without_role_afterwards(url, role_in(url)):
        async with connected(url) as owner:
            await fill(owner)
        yield


@asynccontextmanager
async def connected_reader(url: str) -> AsyncIterator[Any]:
    """A connection as the reader of TENANT, whom it creates."""
    made = create_reader(url, role_in(url))
    assert (made.returncode, made.stderr) == (0, "")
    connection = await connect_as(url, role_in(url))
    yield connection
    await connection.close()
