"""A hot standby of a PostgreSQL of the tests, by streaming replication; and its promotion."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from tests.support.waiting import eventually
from traksense_ingest.ops.embedded.postgres import PostgresServer

RETRY_MS = 200  # how soon a standby connects again to a primary that was restarted


async def replicate(primary: PostgresServer, standby: PostgresServer) -> None:
    """Make a server, that doesn't run, the standby of one that does, and start it. From then on what is committed is on
    both."""
    await asyncio.to_thread(_copy, primary, standby)
    await asyncio.to_thread(standby.start)
    async with connected(primary) as connection:
        await connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        await connection.execute("SELECT pg_reload_conf()")
        await eventually(lambda: connection.fetchval("SELECT max(sync_priority) FROM pg_stat_replication"))


async def fail_over(primary: PostgresServer, standby: PostgresServer) -> None:
    """kill -9 of the primary; the standby takes its place."""
    await asyncio.to_thread(primary.kill)
    async with connected(standby) as connection:
        await connection.execute("SELECT pg_promote()")


@asynccontextmanager
async def connected(server: PostgresServer) -> AsyncIterator[asyncpg.Connection]:
    """A connection as the owner."""
    connection = await asyncpg.connect(server.url)
    try:
        yield connection
    finally:
        connection.terminate()


def _copy(primary: PostgresServer, standby: PostgresServer) -> None:
    shutil.rmtree(standby.data, ignore_errors=True)
    standby.directory.mkdir(parents=True, exist_ok=True)
    standby._open_paths()
    standby.data.mkdir(mode=0o700)
    if ids := standby._uid_gid():
        os.chown(standby.data, *ids)
    copy = ("-D", str(standby.data), "-d", primary.url, "--write-recovery-conf", "--checkpoint=fast")
    standby._run("pg_basebackup", *copy)
    with (standby.data / "postgresql.auto.conf").open("a") as configuration:
        configuration.write(f"wal_retrieve_retry_interval = {RETRY_MS}\n")
