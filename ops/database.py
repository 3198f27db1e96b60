"""A connection to the database for one command, and rows of it a few at a time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from traksense_ingest.ops.advice import explain_with_url
from traksense_ingest.shared import database
from traksense_ingest.shared.errors import IngestError
from traksense_ingest.shared.failure import DATABASE_ERRORS, ended_by

STATEMENT_S = 300.0  # a count of some million rows takes seconds


@asynccontextmanager
async def opened(
    url: str, role: str, variable: str = "DATABASE_URL", statement_s: float = STATEMENT_S
) -> AsyncIterator[Any]:
    """A connection for as long as the block; raises IngestError, with one line that names the variable.

    `role` is whom to connect as, which the line adds where a privilege is missing; `statement_s` is how many seconds
    each statement may take.
    """
    try:
        connection = await database.connect(url, command_timeout=statement_s)
    except (*DATABASE_ERRORS, OSError, ValueError) as error:
        raise _unusable(url, role, variable, error) from error
    try:
        yield connection
    except BrokenPipeError:  # stdout's
        raise
    except (*DATABASE_ERRORS, ConnectionError, TimeoutError) as error:
        raise _unusable(url, role, variable, error) from error
    finally:
        connection.terminate()


async def each_row(connection: Any, query: str, *arguments: Any, at_once: int) -> AsyncGenerator[Any, None]:
    """A query's rows, `at_once` of them in memory; in a transaction.

    asyncpg's own cursors use a named statement, which would stay in a pooler's session.
    """
    await connection.execute(f"DECLARE found NO SCROLL CURSOR FOR {query}", *arguments)
    while rows := await connection.fetch(f"FETCH {at_once} FROM found"):
        for row in rows:
            yield row


def _unusable(url: str, role: str, variable: str, error: BaseException) -> IngestError:
    hint = f"; connect as {role}" if isinstance(error, asyncpg.InsufficientPrivilegeError) else ""
    return ended_by(error, f"{explain_with_url(variable, url, error)}{hint}")
