"""The database's connections, and the version of its schema."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from typing import Any, NamedTuple, TypeVar

import asyncpg

from traksense_ingest.shared import integrity
from traksense_ingest.shared.errors import ConfigurationError
from traksense_ingest.shared.failure import CONNECTION_LOST, Kind, kind_of
from traksense_ingest.shared.session import Connection, open_session

COMMAND_TIMEOUT_S = 30.0  # a statement that takes longer is an outage
CONNECT_TIMEOUT_S = 5.0  # for each host

DEAD_IN_A_ROW = 10

T = TypeVar("T")

# What each statement of the writer takes; migrations 0005, 0007, 0010 and 0013 to 0016 grant it to traksense_writer.
_NEEDED = {
    "ts_measure": ("INSERT",),
    "cmd_ack": ("SELECT", "INSERT", "UPDATE"),
    "command": ("SELECT", "INSERT", "UPDATE"),
    "device_event": ("INSERT",),
    "device": ("SELECT", "INSERT", "UPDATE"),
    "device_point": ("SELECT", "INSERT", "UPDATE"),
    "device_status": ("SELECT",),
    "ingest_errors": ("SELECT", "INSERT"),
    "sparkplug_birth": ("SELECT", "INSERT", "UPDATE"),
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
UNION ALL
SELECT 'EXECUTE on the function missing_events'
WHERE NOT has_function_privilege('missing_events(text[], text[], text[])', 'EXECUTE')
UNION ALL
SELECT 'EXECUTE on the function has_state'
WHERE NOT has_function_privilege('has_state(text, text, jsonb)', 'EXECUTE')
"""

# What StuckTransactions knows writers' sessions by; a pooler may add to it.
WRITER = "traksense-writer"


class Migration(NamedTuple):
    """A numbered file of `migrations/`."""

    version: int
    name: str
    sql: str


class NotMigrated(ConfigurationError):
    """The database is not what this program needs; the message says what to run."""


def migrations() -> list[Migration]:
    """Every migration that this program ships, in order."""
    found = (file for file in files("traksense_ingest.migrations").iterdir() if file.name.endswith(".sql"))
    return sorted(
        Migration(int(file.name.partition("_")[0]), file.name.removesuffix(".sql"), file.read_text()) for file in found
    )


async def connect(
    url: str, command_timeout: float | None = COMMAND_TIMEOUT_S, timeout: float = CONNECT_TIMEOUT_S
) -> Any:
    """One connection, with seconds that a statement and connecting to a host may take; raises what asyncpg raises."""
    return await open_session(url, timeout=timeout, command_timeout=command_timeout)


@asynccontextmanager
async def connected(
    url: str, command_timeout: float | None = COMMAND_TIMEOUT_S, timeout: float = CONNECT_TIMEOUT_S
) -> AsyncIterator[Any]:
    """One connection, for as long as the block; raises what asyncpg raises, and what the block does."""
    connection = await connect(url, command_timeout, timeout)
    try:
        yield connection
    except BaseException:
        connection.terminate()
        raise
    await _close(connection)


async def _close(connection: Any) -> None:
    """Raises no error: the work on it is done."""
    try:
        await connection.close(timeout=CONNECT_TIMEOUT_S)
    except Exception:
        connection.terminate()


async def open_pool(url: str, smallest: int, largest: int) -> Any:
    """A pool of connections, the smallest number of them open; raises what asyncpg raises."""
    return await asyncpg.create_pool(
        url,
        min_size=smallest,
        max_size=largest,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=COMMAND_TIMEOUT_S,
        server_settings={"application_name": WRITER},
        connect=open_session,
        connection_class=Connection,
        reset=_leave,
    )


async def _leave(_connection: Any) -> None:
    """Return a connection to the pool as it is. Nothing of ours outlives its transaction, so what asyncpg would send
    after each (RESET ALL and the like) would be a wasted round trip."""


@asynccontextmanager
async def transaction(pool: Any) -> AsyncIterator[Any]:
    """A connection of the pool, in a transaction of a database that can be stored in; raises what asyncpg raises,
    Unusable, and what the block does.

    An outage ends the connection with it. Its session may be the reason: after a failover it leads to what is a
    replica now, and what an administrator has set and reset stays set in it.
    """
    connection, started = await _acquire(pool, _begin)
    try:
        async with _ended(connection, started):
            await integrity.require(connection)
            yield connection
    finally:
        await _give_back(pool, connection)


async def read(pool: Any, question: Callable[[Any], Awaitable[T]]) -> T:
    """The answer to one statement over a connection of the pool, without a transaction: two round trips, not six.

    Raises what asyncpg raises, and what the question does; then the connection is ended.
    """
    connection, answer = await _acquire(pool, question)
    await _give_back(pool, connection)
    return answer


async def _begin(connection: Any) -> Any:
    started = connection.transaction()
    await started.start()
    return started


async def _acquire(pool: Any, first: Callable[[Any], Awaitable[T]]) -> tuple[Any, T]:
    """A connection, and what was done first over it. One that has died in the pool, for a reason that asyncpg doesn't
    know, is replaced by a new one: where none can be made, its error says why."""
    for _ in range(DEAD_IN_A_ROW):
        connection = await pool.acquire()
        try:
            return connection, await first(connection)
        except CONNECTION_LOST:
            _cut(connection)
            await _give_back(pool, connection)
        except BaseException:
            _cut(connection)
            await _give_back(pool, connection)
            raise
    raise ConnectionError(f"{DEAD_IN_A_ROW} connections in a row were lost before they were used")


@asynccontextmanager
async def in_transaction(connection: Any, **options: Any) -> AsyncIterator[None]:
    """A transaction of a connection, with asyncpg's options; raises what asyncpg raises, and what the block does.

    As `connection.transaction()`, which raises something else where the connection is lost: that it can't roll back.
    """
    started = connection.transaction(**options)
    await started.start()
    async with _ended(connection, started):
        yield


@asynccontextmanager
async def _ended(connection: Any, started: Any) -> AsyncIterator[None]:
    try:
        yield
        await started.commit()
    except BaseException as error:
        if not isinstance(error, Exception) or kind_of(error) is Kind.OUTAGE:
            is_lost = isinstance(error, CONNECTION_LOST) and _is_lost(connection)
            _cut(connection)
            if is_lost:
                raise ConnectionResetError("the connection was lost in a transaction") from error
        else:
            await _roll_back(connection, started)
        raise


def _is_lost(connection: Any) -> bool:
    try:
        return bool(connection.is_closed())
    except CONNECTION_LOST:  # it is out of asyncpg's pool already
        return True


async def _roll_back(connection: Any, started: Any) -> None:
    """Where that is not possible, the end of the connection does the same."""
    try:
        if connection.is_in_transaction():  # a COMMIT that is refused has ended it
            await started.rollback()
    except Exception:
        _cut(connection)
    except BaseException:
        _cut(connection)
        raise


def _cut(connection: Any) -> None:
    with suppress(*CONNECTION_LOST):  # it is out of asyncpg's pool already
        connection.terminate()


async def _give_back(pool: Any, connection: Any) -> None:
    """Return it to the pool; a connection that asyncpg can't take back is ended."""
    try:
        await pool.release(connection)
    except Exception:
        _cut(connection)


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
    """Raise NotMigrated unless the writer can store here: the schema exists, and the role has its privileges.

    Raises Unusable first if the database is not what it claims to be: what is missing may still be restored.
    """
    # In a transaction, since a pooler that allows none is of no use.
    async with connected(url) as connection, in_transaction(connection):
        await integrity.require_session(connection)
        await _check_version(connection)
        await integrity.require(connection)
        await _check_privileges(connection)


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
