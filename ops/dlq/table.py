"""The table ingest_errors, for one command."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from ops.advice import unanswered
from shared import database
from shared.config import redacted
from shared.failure import is_hopeless

STATEMENT_S = 300.0  # a count of some million rows takes seconds

_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class Unusable(Exception):
    """The database is away or refuses us; the message is one line that names the variable."""

    def __init__(self, message: str, *, is_final: bool) -> None:
        super().__init__(message)
        self.is_final = is_final  # waiting doesn't help


@asynccontextmanager
async def table(url: str) -> AsyncIterator[Any]:
    """A connection for as long as the block; raises Unusable."""
    where = f"DATABASE_URL={redacted(url)}"
    try:
        connection = await database.connect(url, command_timeout=STATEMENT_S)
    except (*_ERRORS, OSError, ValueError) as error:
        raise _unusable(url, error) from error
    try:
        await _check(connection, where)
        yield connection
    except BrokenPipeError:  # stdout's
        raise
    except (*_ERRORS, ConnectionError, TimeoutError) as error:
        raise _unusable(url, error) from error
    finally:
        connection.terminate()


async def _check(connection: Any, where: str) -> None:
    if await connection.fetchval("SELECT to_regclass('ingest_errors')") is None:
        raise Unusable(f"{where}: the database is not migrated; run `traksense-ingest migrate`", is_final=True)
    if await connection.fetchval("SELECT row_security_active('ingest_errors')"):
        role = await connection.fetchval("SELECT current_user")
        raise Unusable(
            f"{where}: the role {role} is under row level security and sees no dead letters; connect as the "
            "tables' owner",
            is_final=True,
        )


def _unusable(url: str, error: BaseException) -> Unusable:
    hint = "; connect as the tables' owner" if isinstance(error, asyncpg.InsufficientPrivilegeError) else ""
    return Unusable(f"{unanswered('DATABASE_URL', url, error)}{hint}", is_final=is_hopeless(error))
