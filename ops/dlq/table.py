"""The table ingest_errors: the statements of `queries.sql`, and a connection for one command."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from traksense_ingest.ops.database import STATEMENT_S, opened
from traksense_ingest.shared.config import redacted
from traksense_ingest.shared.errors import ConfigurationError
from traksense_ingest.shared.sql import statements

_statements = statements("traksense_ingest.ops.dlq")


def _statement(name: str) -> str:
    statement: str = _statements[name]
    for part in ("columns", "selected"):
        statement = statement.replace(f"{{{part}}}", _statements[part])
    return statement


COUNT = _statement("count")
LIST = _statement("list")
LIST_UP = _statement("list_up")
GROUPS = _statement("groups")
HOURS = _statement("hours")
NEWEST = _statement("newest")
NEIGHBOURS = _statement("neighbours")
LETTERS = _statement("letters")
NOW = _statement("now")
COUNT_DUE = _statement("count_due")
DUE = _statement("due")
TAKE = _statement("take")
MARK = _statement("mark")
PURGE = _statement("purge")

_IS_CURRENT = """
SELECT count(*) = 2 FROM pg_attribute
WHERE attrelid = to_regclass('ingest_errors') AND attname IN ('received_at', 'reason_group')
"""
# A policy of its own shows all rows to traksense_viewer.
_IS_FILTERED = """
SELECT row_security_active('ingest_errors') AND NOT EXISTS (
    SELECT FROM pg_roles WHERE rolname = 'traksense_viewer' AND pg_has_role(oid, 'USAGE')
)
"""


@asynccontextmanager
async def open_table(url: str, statement_s: float = STATEMENT_S) -> AsyncIterator[Any]:
    """A connection for as long as the block; raises IngestError, with one line that names the variable.

    `statement_s` is how many seconds each statement may take."""
    async with opened(url, "the tables' owner", statement_s=statement_s) as connection:
        await _check(connection, f"DATABASE_URL={redacted(url)}")
        yield connection


async def _check(connection: Any, where: str) -> None:
    if await connection.fetchval("SELECT to_regclass('ingest_errors')") is None:
        raise ConfigurationError(f"{where}: the database is not migrated; run `traksense-ingest migrate`")
    if not await connection.fetchval(_IS_CURRENT):
        raise ConfigurationError(f"{where}: the schema is older than this version; run `traksense-ingest migrate`")
    if await connection.fetchval(_IS_FILTERED):
        role = await connection.fetchval("SELECT current_user")
        raise ConfigurationError(
            f"{where}: the role {role} is under row level security and sees no dead letters; connect as the "
            "tables' owner, or, to read them, as a member of traksense_viewer"
        )
