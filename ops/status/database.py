"""What the database remembers of the streams, asked within a second or so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from shared import database
from shared.config import redacted
from shared.failure import describe
from shared.ledger_rows import LedgerRows

PATIENCE_S = 1.0

_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class DatabaseAway(Exception):
    """It is away, refuses us, or isn't migrated; the message is one line, the cause what it said."""


@asynccontextmanager
async def ledger_rows(url: str) -> AsyncIterator[LedgerRows]:
    """The table, for as long as the block; raises DatabaseAway."""
    where = f"DATABASE_URL={redacted(url)}"
    try:
        connection = await database.connect(url, command_timeout=PATIENCE_S, timeout=PATIENCE_S)
    except (*_ERRORS, OSError) as error:
        raise DatabaseAway(f"{where}: {describe(error)}") from error
    try:
        if await connection.fetchval("SELECT to_regclass('stream_ledger')") is None:
            raise DatabaseAway(f"{where}: the database is not migrated; run `traksense-ingest migrate`")
        yield LedgerRows(connection, PATIENCE_S)
    except (*_ERRORS, TimeoutError) as error:
        raise DatabaseAway(f"{where}: {describe(error)}") from error
    finally:
        connection.terminate()
