"""The database's connections, and the version of its schema."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any, NamedTuple

import asyncpg

from shared.failure import Kind, kind_of

COMMAND_TIMEOUT_S = 30.0  # a statement that takes longer is an outage
CONNECT_TIMEOUT_S = 5.0

# What each statement of the writer takes; migrations 0005 and 0007 grant the same to traksense_writer.
_NEEDED = {
    "ts_measure": ("INSERT",),
    "cmd_ack": ("SELECT", "INSERT", "UPDATE"),
    "device_event": ("INSERT",),
    "device": ("SELECT", "INSERT", "UPDATE"),
    "ingest_errors": ("SELECT", "INSERT"),
    "stream_ledger": ("SELECT", "INSERT", "UPDATE"),
}

_LACKING = """
SELECT privilege || ' on ' || name AS lacking
FROM unnest($1::text[], $2::text[]) AS needed (name, privilege)
WHERE NOT has_table_privilege(name, privilege)
UNION ALL
SELECT 'TEMPORARY on the database ' || current_database()
WHERE NOT has_database_privilege(current_database(), 'TEMPORARY')
UNION ALL
SELECT 'EXECUTE on the function unstored_points'
WHERE NOT has_function_privilege(
    'unstored_points(text[], text[], timestamptz[], integer[], text[], integer[])', 'EXECUTE'
)
"""

_SESSION = {
    "application_name": "traksense-writer",
    # A client that vanished without a word, its machine gone, must not keep its locks for the kernel's two hours.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "4",
}


class Migration(NamedTuple):
    """A numbered file of `migrations/`."""

    version: int
    name: str
    sql: str


class NotMigrated(Exception):
    """The database is not what this program needs; the message says what to run."""


def migrations() -> list[Migration]:
    """Every migration that this program ships, in order."""
    found = (file for file in files("migrations").iterdir() if file.name.endswith(".sql"))
    return sorted(
        Migration(int(file.name.partition("_")[0]), file.name.removesuffix(".sql"), file.read_text()) for file in found
    )


async def connect(
    url: str, command_timeout: float | None = COMMAND_TIMEOUT_S, timeout: float = CONNECT_TIMEOUT_S
) -> Any:
    """One connection, with seconds that a statement and the connecting may take; raises what asyncpg raises."""
    return await asyncpg.connect(url, timeout=timeout, command_timeout=command_timeout)


async def open_pool(url: str, smallest: int, largest: int) -> Any:
    """A pool of connections, the smallest number of them open; raises what asyncpg raises."""
    return await asyncpg.create_pool(
        url,
        min_size=smallest,
        max_size=largest,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=COMMAND_TIMEOUT_S,
        server_settings=_SESSION,
        reset=_leave,
    )


async def _leave(_connection: Any) -> None:
    """A connection goes back as it is: no statement of ours outlives its transaction, so RESET ALL and the like, which
    asyncpg would send after each, are a round trip for nothing."""


@asynccontextmanager
async def transaction(pool: Any) -> AsyncIterator[Any]:
    """A connection of the pool, in a transaction; raises what asyncpg raises.

    An outage ends the connection with it. Its session may be the reason: after a failover it leads to what is a
    replica now, and what an administrator set and took back stays set in it.
    """
    async with pool.acquire() as connection:
        begun = connection.transaction()
        try:
            await begun.start()
            yield connection
            await begun.commit()
        except BaseException as error:
            if not isinstance(error, Exception) or kind_of(error) is Kind.OUTAGE:
                connection.terminate()
            else:
                await begun.rollback()
            raise


class Queries:
    """A pool's `fetch` and `fetchrow`, each in a `transaction`."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def fetch(self, query: str, *arguments: Any, timeout: float | None = None) -> list[Any]:
        """All rows."""
        async with transaction(self._pool) as connection:
            return list(await connection.fetch(query, *arguments, timeout=timeout))

    async def fetchrow(self, query: str, *arguments: Any, timeout: float | None = None) -> Any:
        """The first row, or None."""
        async with transaction(self._pool) as connection:
            return await connection.fetchrow(query, *arguments, timeout=timeout)


async def check(url: str) -> None:
    """Raise NotMigrated unless the writer can store here: the schema is there, and its role may do what it has to."""
    connection = await connect(url)
    try:
        await _check_version(connection)
        await _check_privileges(connection)
    finally:
        await connection.close()


async def _check_version(connection: Any) -> None:
    applied = await _applied(connection)
    newest = migrations()[-1]
    if newest.version not in applied:
        raise NotMigrated(
            f"DATABASE_URL: the database is at version {max(applied, default=0)} of the schema, version "
            f"{newest.version} is needed; run `traksense-ingest migrate`"
        )


async def _check_privileges(connection: Any) -> None:
    role = await connection.fetchval("SELECT current_user")
    if await connection.fetchval("SELECT row_security_active('ts_measure')"):
        raise NotMigrated(
            f"DATABASE_URL: the role {role} is under row level security and may not COPY; connect as "
            "traksense_writer, as another role with BYPASSRLS or as the tables' owner"
        )
    needed = [(table, privilege) for table, privileges in _NEEDED.items() for privilege in privileges]
    if lacking := await connection.fetch(_LACKING, *zip(*needed, strict=True)):
        raise NotMigrated(
            f"DATABASE_URL: the role {role} lacks {', '.join(row['lacking'] for row in lacking)}; "
            "traksense_writer has what a writer needs"
        )


async def _applied(connection: Any) -> set[int]:
    if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
        return set()
    return {row["version"] for row in await connection.fetch("SELECT version FROM schema_migrations")}
