"""What the database remembers of the streams."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import asyncpg

from ops.advice import unanswered
from shared import database
from shared.database import NotMigrated
from shared.ledger_rows import LedgerRows

_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)


class Ledgers:
    """The table `stream_ledger` over one connection, made when it is needed and again when it was lost."""

    def __init__(self, url: str, patience_s: float) -> None:
        """`patience_s` is how long connecting, and each statement, may take."""
        self._url = url
        self._patience_s = patience_s
        self._connection: Any = None

    @asynccontextmanager
    async def rows(self) -> AsyncIterator[LedgerRows]:
        """The rows, for as long as the block. Raises what asyncpg raises, and NotMigrated."""
        try:
            if self._connection is None:
                self._connection = await self._connect()
            yield LedgerRows(self._connection, self._patience_s)
        except BaseException:
            self.close()
            raise

    async def _connect(self) -> Any:
        connection = await database.connect(self._url, self._patience_s, self._patience_s)
        if await connection.fetchval("SELECT to_regclass('stream_ledger')") is None:
            connection.terminate()
            raise NotMigrated("the database is not migrated; run `traksense-ingest migrate`")
        return connection

    def close(self) -> None:
        """Cut the connection."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class DatabaseAway(Exception):
    """It is away, refuses us, or isn't migrated; the message is one line, the cause what it said."""


@asynccontextmanager
async def ledger_rows(url: str, patience_s: float) -> AsyncIterator[LedgerRows]:
    """The table, for as long as the block; raises DatabaseAway."""
    with Ledgers(url, patience_s) as ledgers:
        try:
            async with ledgers.rows() as rows:
                yield rows
        except (*_ERRORS, NotMigrated) as error:
            raise DatabaseAway(unanswered("DATABASE_URL", url, error)) from error
