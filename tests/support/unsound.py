"""Databases that take rows and show them to nobody, or take none."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg

from tests.support import program
from tests.support.shaped import connected
from traksense_ingest.ops.embedded import PostgresServer, free_port

RESTORING = "database can't be used, waiting for it: timescaledb.restoring is on"
NOT_LOADED = "database can't be used, waiting for it: the library of the extension timescaledb is not loaded"
NO_HYPERTABLE = "database can't be used, waiting for it: ts_measure was made a hypertable and is none any more"

_HIDDEN = """
INSERT INTO ts_measure (tenant_id, device_id, point_id, ts, v_num)
SELECT 't', 'hidden', 'p', date_trunc('hour', now()) - INTERVAL '1 day' + make_interval(secs => second), $3
FROM generate_series($1::integer, $2::integer - 1) AS second
"""


async def store(url: str, first: int, last: int, value: float) -> None:
    """A row each of the seconds from `first` up to `last` of yesterday, where everybody sees it."""
    async with connected(url) as connection:
        await connection.execute(_HIDDEN, first, last, value)


async def hide(url: str, first: int, last: int, value: float) -> None:
    """The same, as a session stores it that began during a restore."""
    async with restoring_session(url) as connection:
        await connection.execute(_HIDDEN, first, last, value)


async def in_root(url: str) -> int:
    """Rows of ts_measure that no query shows."""
    async with restoring_session(url) as connection:
        return int(await connection.fetchval("SELECT count(*) FROM ONLY ts_measure"))


@asynccontextmanager
async def restoring_session(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A session for which timescaledb.restoring is on."""
    async with connected(url) as connection:
        await connection.execute("SET timescaledb.restoring = on")
        yield connection


@contextmanager
def own_server(kind: type[PostgresServer], directory: Path) -> Iterator[PostgresServer]:
    """A server for a test that restarts it."""
    with kind(directory, free_port()) as server:
        yield server


def restart(server: PostgresServer, **options: str) -> None:
    """With these options beside those that it has."""
    server.stop()
    server.options.update(options)
    server.start()


async def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`traksense-ingest` with these words, and no other variables than these; fails when it takes a minute."""
    return await asyncio.to_thread(program.run, "ops", *words, environment=_environment(variables), timeout=60)


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "COLUMNS": "80", **variables}
