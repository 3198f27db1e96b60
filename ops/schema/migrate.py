"""Applies the migrations that a database lacks, once each, however many processes try at the same time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from traksense_ingest.ops.schema import Refused, sql
from traksense_ingest.shared import integrity
from traksense_ingest.shared.database import Migration, connected, in_transaction, migrations
from traksense_ingest.shared.session import KEEPALIVE

LOCK = 0x7472616B  # "trak": the advisory lock that only one migrating process holds
RETRY_S = 0.1
LOG_AFTER_S = 2.0

_HISTORY = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""

# Also a plain table that an operator has made a hypertable: from now on writers require that it is one.
_NOTE_HYPERTABLE = """
UPDATE schema_migrations SET made_hypertable = true
WHERE version = 2 AND NOT made_hypertable AND public.ts_measure_is_hypertable()
"""

# The server must notice when this machine disappears, and release the locks; behind a pooler, the pooler must.
_KEEPALIVE = """
SET LOCAL tcp_keepalives_idle = {};
SET LOCAL tcp_keepalives_interval = {};
SET LOCAL tcp_keepalives_count = {};
"""

# Who holds it: the session of another `migrate`, whose times only its own role and superusers see.
_HOLDER = """
SELECT pid, coalesce(xact_start, backend_start) AS since
FROM pg_locks LEFT JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND pg_locks.classid = 0 AND pg_locks.objid = $1 AND pg_locks.objsubid = 1
    AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

_FIRST_VERSION = (
    "this database is one of the first version, and nothing was changed; `traksense-ingest migrate --adopt --dry-run` "
    "shows what `--adopt` would do with it (docs/migrating.md)"
)

log = logging.getLogger(__name__)


async def migrate(url: str) -> list[Migration]:
    """Apply what is missing, each migration in a transaction of its own; returns what was applied.

    Raises what asyncpg raises, Unusable if the database can't be used as it is, and Refused for one of the first
    version; the migrations before the failed one stay applied.
    """
    applied: list[Migration] = []
    async with connected(url, command_timeout=None) as connection:  # a table is as large as it is
        connection.add_log_listener(_forward_to_log)
        while migration := await _apply_next(connection):
            applied.append(migration)
            await asyncio.sleep(0)  # the server's warnings reach the log listener in the next turn
    return applied


async def _apply_next(connection: Any) -> Migration | None:
    """The first one that is missing, or None when none is."""
    async with lock(connection):
        await integrity.require_session(connection)
        if await connection.fetchval(sql.IS_FIRST_VERSION):
            raise Refused(_FIRST_VERSION)
        await connection.execute(_HISTORY)
        done = {row["version"] for row in await connection.fetch("SELECT version FROM schema_migrations")}
        migration = next((migration for migration in migrations() if migration.version not in done), None)
        if migration:
            await _apply(connection, migration)
        else:
            await connection.execute(_NOTE_HYPERTABLE)
            await integrity.require(connection)
        return migration


async def _apply(connection: Any, migration: Migration) -> None:
    log.info("applying migration %s", migration.name)
    await connection.execute(migration.sql)
    await connection.execute(
        "INSERT INTO schema_migrations (version, name) VALUES ($1, $2)", migration.version, migration.name
    )


@asynccontextmanager
async def migration_lock(url: str) -> AsyncIterator[Any]:
    """A connection, in a transaction that holds the migration lock; raises what asyncpg raises."""
    async with connected(url, command_timeout=None) as connection:
        connection.add_log_listener(_forward_to_log)
        async with lock(connection):
            yield connection
        await asyncio.sleep(0)


@asynccontextmanager
async def lock(connection: Any) -> AsyncIterator[None]:
    """A transaction that holds the migration lock; raises what asyncpg raises.

    The lock belongs to the transaction: a pooler would keep a session's. It is polled instead of waited for, so that
    waiting occupies no server connection of a pool, which the holder may need.
    """
    started, is_logged = time.monotonic(), False
    while True:
        async with in_transaction(connection):
            await connection.execute(_KEEPALIVE.format(*KEEPALIVE.values()))
            if await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK):
                yield
                return
            holders = await connection.fetch(_HOLDER, LOCK)
        if not is_logged and holders and time.monotonic() - started >= LOG_AFTER_S:
            is_logged = True
            log.warning("waiting for another migrate (%s)", ", ".join(map(_describe, holders)))
        await asyncio.sleep(RETRY_S)


def _describe(holder: Any) -> str:
    since = f", since {holder['since']:%Y-%m-%d %H:%M:%S} UTC" if holder["since"] else ""
    return f"pid {holder['pid']}{since}"


def _forward_to_log(_connection: Any, message: Any) -> None:
    level = logging.WARNING if message.severity_en == "WARNING" else logging.DEBUG
    log.log(level, "%s", message.message)
