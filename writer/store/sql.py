"""The statements of `queries.sql` by name, and running one that takes its rows as one array a column."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from traksense_ingest.shared.failure import KeptOut
from traksense_ingest.shared.sql import statements

_statements = statements("traksense_ingest.writer.store")

UNSTORED_POINTS = _statements["unstored_points"]
INSERT_NEW = _statements["insert_new"]
CREATE_STAGING = _statements["create_staging"]
INSERT_STAGED = _statements["insert_staged"]
UPSERT_ACKS = _statements["upsert_acks"]
INSERT_RETAINED_ACKS = _statements["insert_retained_acks"]
MISSING_ACKS = _statements["missing_acks"]
UPSERT_COMMANDS = _statements["upsert_commands"]
MISSING_COMMANDS = _statements["missing_commands"]
OVERDUE_COMMANDS = _statements["overdue_commands"]
INSERT_EVENTS = _statements["insert_events"]
MISSING_EVENTS = _statements["missing_events"]
UPSERT_DEVICES = _statements["upsert_devices"]
INSERT_RETAINED_DEVICES = _statements["insert_retained_devices"]
UPSERT_POINTS = _statements["upsert_points"]
INSERT_PAST_POINTS = _statements["insert_past_points"]
WAITING_TRANSACTIONS = _statements["waiting_transactions"]
END_TRANSACTIONS = _statements["end_transactions"]
WAIT_FOR_STANDBYS = _statements["wait_for_standbys"]
LOCK_DEAD_LETTERS = _statements["lock_dead_letters"]
INSERT_DEAD_LETTERS = _statements["insert_dead_letters"]
OTHERS_WITH_THEIR_IDS = _statements["others_with_their_ids"]
MISSING_DEAD_LETTERS = _statements["missing_dead_letters"]
COUNT_DEVICES = _statements["count_devices"]
KNOWN_DEVICES = _statements["known_devices"]
UPSERT_BIRTHS = _statements["upsert_births"]
BIRTHS = _statements["births"]

Row = tuple[Any, ...]


async def execute(connection: Any, statement: str, rows: Sequence[Row]) -> int:
    """Run a statement; returns how many rows it affected."""
    return affected(await connection.execute(statement, *columns(rows))) if rows else 0


async def require(connection: Any, table: str, statement: str, keys: Sequence[Row]) -> None:
    """Raise KeptOut unless a row of each key is in the table; the statement counts those that are missing."""
    if missing := await connection.fetchval(statement, *columns(keys)):
        raise KeptOut(table, missing, len(keys))


def columns(rows: Iterable[Row]) -> Iterable[Row]:
    """One array a column."""
    return zip(*rows, strict=True)


def affected(status: str) -> int:
    """The number at the end of a command tag: COPY 5, INSERT 0 5."""
    return int(status.rpartition(" ")[2])
