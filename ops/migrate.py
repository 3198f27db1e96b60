"""Apply the migrations that a database lacks, once each, however many processes try at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from shared.database import Migration, connect, migrations

LOCK = 0x7472616B  # "trak": the advisory lock that makes migrating processes take turns

_HISTORY = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""

log = logging.getLogger(__name__)


async def migrate(url: str) -> list[Migration]:
    """Apply what is missing, each migration in a transaction of its own; returns what was applied.

    Raises what asyncpg raises; then the migrations before the failed one stay applied.
    """
    async with turn(url) as connection:
        await connection.execute(_HISTORY)
        done = {row["version"] for row in await connection.fetch("SELECT version FROM schema_migrations")}
        missing = [migration for migration in migrations() if migration.version not in done]
        for migration in missing:
            await _apply(connection, migration)
        return missing


@asynccontextmanager
async def turn(url: str) -> AsyncIterator[Any]:
    """A connection of the one process that may change the database now; raises what asyncpg raises."""
    connection = await connect(url, command_timeout=None)  # a table is as large as it is, and so is another's turn
    connection.add_log_listener(_forward_to_log)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
        yield connection
    finally:
        await connection.close()


async def _apply(connection: Any, migration: Migration) -> None:
    log.info("applying migration %s", migration.name)
    async with connection.transaction():
        await connection.execute(migration.sql)
        await connection.execute(
            "INSERT INTO schema_migrations (version, name) VALUES ($1, $2)", migration.version, migration.name
        )
    await asyncio.sleep(0)  # the server's warnings reach the log listener in the next turn


def _forward_to_log(_connection: Any, message: Any) -> None:
    level = logging.WARNING if message.severity_en == "WARNING" else logging.DEBUG
    log.log(level, "%s", message.message)
