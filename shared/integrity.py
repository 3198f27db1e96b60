"""Whether the database is what it claims to be: that COPY succeeds doesn't prove that queries will show the rows.

PostgreSQL stores what is meant for a hypertable also while TimescaleDB is not loaded, and then in the hypertable's
root table, of which TimescaleDB shows nothing. So each transaction asks first, since behind a pooler it may have
another session of the server than the one before: one constant query, 50 µs and a round trip.
"""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Any

from traksense_ingest.shared.failure import DATABASE_ERRORS, NO_SUCH_OBJECT, Unusable

# Of the session alone, so also before `migrate` and in the middle of a restore. A setting may be there without its
# library: ALTER DATABASE … SET makes a placeholder, which pg_settings doesn't list. To read that view takes half a
# millisecond, and its answer holds until the server is started again: $1 are the starts of which it is known.
_SESSION = """
CASE
    WHEN pg_is_in_recovery() THEN 'standby'
    WHEN current_setting('transaction_read_only') = 'on' THEN 'read-only'
    WHEN NOT has_timescaledb THEN NULL
    WHEN current_setting('timescaledb.restoring', true) IS NULL
        AND current_setting('timescaledb.disable_load', true) = 'on' THEN 'disabled'
    WHEN current_setting('timescaledb.restoring', true) IS NULL THEN 'not loaded'
    WHEN pg_postmaster_start_time() <> ALL ($1::timestamptz[])
        AND NOT EXISTS (SELECT FROM pg_settings WHERE name = 'timescaledb.restoring') THEN 'not loaded'
    WHEN current_setting('timescaledb.restoring', true) = 'on' THEN 'restoring'
END
"""
# Statements name no schema: a temporary table, or one in a schema that search_path has first, would have the rows.
_TABLES = """
CASE
    WHEN EXISTS (
        SELECT FROM unnest(
            '{ts_measure, cmd_ack, command, device_event, device, device_point, ingest_errors, sparkplug_birth,
              stream_ledger}'::text[]
        ) AS name
        WHERE to_regclass(name) <> to_regclass('public.' || name)
    ) THEN 'hidden by others'
    WHEN NOT public.ts_measure_is_as_made() THEN 'no hypertable'
END
"""
_QUERY = """
SELECT {state} AS state, CASE WHEN has_timescaledb THEN pg_postmaster_start_time() END AS started_at
FROM (SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') AS has_timescaledb) AS database
"""
_OF_SESSION, _OF_ALL = _QUERY.format(state=_SESSION), _QUERY.format(state=f"coalesce({_SESSION}, {_TABLES})")
_WITH_HIDDEN = f"""
SELECT state, started_at, CASE WHEN state IS NULL THEN public.hidden_rows($2) END AS hidden
FROM ({_OF_ALL} OFFSET 0) AS found
"""  # noqa: S608  (constants)

_WITH_ROWS = """
SELECT checked.state, checked.started_at, found.*
FROM ({checked} OFFSET 0) AS checked LEFT JOIN ({query}) AS found ON true
"""

_IS_BEING_RESTORED = "SELECT EXISTS (SELECT FROM pg_db_role_setting WHERE 'timescaledb.restoring=on' = ANY (setconfig))"
_END_SESSION = "SELECT pg_terminate_backend(pg_backend_pid())"

_UNSEEN = "rows would go where no query shows them"
_LINES = {
    "standby": "the server is a standby, in recovery: nothing can be stored; promote it, or name the primary",
    "read-only": "transactions are read-only: nothing can be stored; set default_transaction_read_only to off",
    "disabled": f"timescaledb.disable_load is on, and {_UNSEEN}; reset it for this database and role",
    "not loaded": f"the library of the extension timescaledb is not loaded, and {_UNSEEN}; "
    "put timescaledb into shared_preload_libraries and restart PostgreSQL",
    "restoring": f"timescaledb.restoring is on, as during a restore, and {_UNSEEN}; "
    "the restore ends with SELECT timescaledb_post_restore()",
    "hidden by others": "a table of the schema public is hidden by another one of its name, which would have the rows; "
    "change the search_path of this role, or rename the other table",
    "no hypertable": "ts_measure was made a hypertable and is none any more; restore it, or, where it is to be a plain "
    "table, UPDATE schema_migrations SET made_hypertable = false",
}
_NO_SCHEMA = "the schema is not there, or only a part of it; let the restore end, or run `traksense-ingest migrate`"

COUNTED = 100_000  # hidden rows, some 15 ms
RECOVER = "traksense-ingest migrate --recover-rows"

_loaded: set[datetime] = set()  # starts of servers whose timescaledb was seen to be loaded: it stays so until the next


async def require_session(connection: Any) -> None:
    """Raise Unusable unless this session may store, whatever is in the database; and what asyncpg raises."""
    await _require(connection, _OF_SESSION)


async def require(connection: Any) -> None:
    """Raise Unusable unless what is stored in this session, or transaction, will be seen; and what asyncpg raises."""
    try:
        await _require(connection, _OF_ALL)
    except NO_SUCH_OBJECT as error:
        raise Unusable(_NO_SCHEMA) from error


async def fetch(connection: Any, query: str, *arguments: Any) -> list[Any]:
    """The rows of a query whose parameters begin with $2, asked in one statement with what `require` asks: at least one
    row, in which the query's columns are NULL if it has none. Raises what `require` does."""
    try:
        rows = await connection.fetch(_WITH_ROWS.format(checked=_OF_ALL, query=query), list(_loaded), *arguments)
    except NO_SUCH_OBJECT as error:
        raise Unusable(_NO_SCHEMA) from error
    await _check(connection, rows[0])
    return list(rows)


async def problem(connection: Any) -> str | None:
    """Why nothing is stored here, or that rows are hidden and what brings them back: one line, or None.

    Raises what asyncpg raises.
    """
    try:
        hidden = await _hidden_rows(connection)
    except Unusable as error:
        return str(error)
    if hidden == 0:
        return None
    number = "there may be rows" if hidden is None else f"{min(hidden, COUNTED)} rows{' or more' * (hidden > COUNTED)}"
    return f"{number} of ts_measure that no query shows, in the hypertable's root table; `{RECOVER}` brings them back"


async def _hidden_rows(connection: Any) -> int | None:
    try:
        found = await connection.fetchrow(_WITH_HIDDEN, list(_loaded), COUNTED + 1)
    except NO_SUCH_OBJECT:  # an older one
        await require_session(connection)
        return 0
    await _check(connection, found)
    return found["hidden"]  # type: ignore[no-any-return]


async def _require(connection: Any, query: str) -> None:
    await _check(connection, await connection.fetchrow(query, list(_loaded)))


async def _check(connection: Any, found: Any) -> None:
    state, started_at = found[0], found[1]
    if state == "restoring":
        await _end_session_of_a_restore_that_is_over(connection)
    if state is not None:
        raise Unusable(_LINES[state])
    if started_at is not None:
        _loaded.add(started_at)


async def _end_session_of_a_restore_that_is_over(connection: Any) -> None:
    """The setting was read when the session began. A pooler would give it to us again and again."""
    if not await connection.fetchval(_IS_BEING_RESTORED):
        with contextlib.suppress(*DATABASE_ERRORS, OSError):
            await connection.execute(_END_SESSION)
