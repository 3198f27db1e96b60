"""The table ingest_errors: the statements of `queries.sql`, and a connection for one command."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from traksense_ingest.ops.advice import explain_with_url
from traksense_ingest.shared import database
from traksense_ingest.shared.config import redacted
from traksense_ingest.shared.errors import ConfigurationError, IngestError
from traksense_ingest.shared.failure import DATABASE_ERRORS, ended_by
from traksense_ingest.shared.sql import statements

_statements = statements("traksense_ingest.ops.dlq")


def _statement(name: str) -> str:
    statement: str = _statements[name]
    for part in ("columns", "selected"):
        statement = statement.replace(f"{{{part}}}", _statements[part])
    return statement


COUNT = _statement("count")
LIST = _statement("list")
LETTERS = _statement("letters")
NOW = _statement("now")
COUNT_DUE = _statement("count_due")
DUE = _statement("due")
TAKE = _statement("take")
MARK = _statement("mark")
PURGE = _statement("purge")

_IS_CURRENT = """
SELECT EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = to_regclass('ingest_errors') AND attname = 'received_at'
)
"""

STATEMENT_S = 300.0  # a count of some million rows takes seconds


@asynccontextmanager
async def open_table(url: str) -> AsyncIterator[Any]:
    """A connection for as long as the block; raises IngestError, with one line that names the variable."""
    where = f"DATABASE_URL={redacted(url)}"
    try:
        connection = await database.connect(url, command_timeout=STATEMENT_S)
    except (*DATABASE_ERRORS, OSError, ValueError) as error:
        raise _unusable(url, error) from error
    try:
        await _check(connection, where)
        yield connection
    except BrokenPipeError:  # stdout's
        raise
    except (*DATABASE_ERRORS, ConnectionError, TimeoutError) as error:
        raise _unusable(url, error) from error
    finally:
        connection.terminate()


async def each_row(connection: Any, query: str, *arguments: Any, at_once: int) -> AsyncIterator[Any]:
    """A query's rows, `at_once` of them in memory; in a transaction.

    asyncpg's own cursors use a named statement, which would stay in a pooler's session.
    """
    await connection.execute(f"DECLARE letters NO SCROLL CURSOR FOR {query}", *arguments)
    while rows := await connection.fetch(f"FETCH {at_once} FROM letters"):
        for row in rows:
            yield row


async def _check(connection: Any, where: str) -> None:
    if await connection.fetchval("SELECT to_regclass('ingest_errors')") is None:
        raise ConfigurationError(f"{where}: the database is not migrated; run `traksense-ingest migrate`")
    if not await connection.fetchval(_IS_CURRENT):
        raise ConfigurationError(f"{where}: the schema is older than this version; run `traksense-ingest migrate`")
    if await connection.fetchval("SELECT row_security_active('ingest_errors')"):
        role = await connection.fetchval("SELECT current_user")
        raise ConfigurationError(
            f"{where}: the role {role} is under row level security and sees no dead letters; connect as the "
            "tables' owner"
        )


def _unusable(url: str, error: BaseException) -> IngestError:
    hint = "; connect as the tables' owner" if isinstance(error, asyncpg.InsufficientPrivilegeError) else ""
    return ended_by(error, f"{explain_with_url('DATABASE_URL', url, error)}{hint}")
