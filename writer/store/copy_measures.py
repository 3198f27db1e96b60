"""Rows of ts_measure by COPY, in four ways: each costs more than the one before, and tolerates more duplicates."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Container, Sequence
from functools import partial
from typing import Any

from traksense_ingest.shared.database import in_transaction
from traksense_ingest.shared.failure import KeptOut, is_key_of_measures
from traksense_ingest.writer.decode.measures import Measure
from traksense_ingest.writer.store import sql
from traksense_ingest.writer.store.copy_format import encode
from traksense_ingest.writer.store.duplicates import (
    DuplicateTracker,
    Messages,
    find_new_points,
    find_new_points_by_first,
    split_by_key,
    without_repetitions,
)

Copy = Callable[[Any, Messages], Awaitable[int]]  # on a connection; returns how many rows were new
Find = Callable[[Any, Messages], Awaitable[Messages]]


def ways_to_copy(duplicates: DuplicateTracker, repetitions: Collection[int]) -> Sequence[Copy]:
    """The ways to try in turn, the cheapest first that is likely to succeed.

    All but the last may be refused because a row is in the table already; `failure.is_duplicate` recognises that.
    """
    find = find_new_points if duplicates.are_most else find_new_points_by_first
    careful = partial(copy_new, find=find)
    if duplicates.expects_duplicates():
        return careful, copy_staged
    first = partial(copy_others, repetitions=repetitions) if repetitions else copy_all
    return first, careful, copy_staged


async def copy_all(connection: Any, messages: Messages) -> int:
    """Straight into the table: refused where any row is there already. Raises KeptOut."""
    rows = sum(map(len, messages))
    copied = await _copy_into(connection, "ts_measure", messages)
    # Asked, since a trigger that puts rows elsewhere, into a partition for one, returns NULL as well.
    if copied < rows and (missing := await find_new_points(connection, messages)):
        raise KeptOut("ts_measure", sum(map(len, missing)), rows)
    return rows


async def copy_others(connection: Any, messages: Messages, repetitions: Container[int]) -> int:
    """All but what probably repeats something: that is inserted where it is new, once another lane that is storing the
    same has committed."""
    repeated, others = split_by_key(without_repetitions(messages), repetitions)
    new = await copy_all(connection, others) if others else 0
    rows = [row for message in repeated for row in message]
    return new + await _require_all(connection, repeated, await sql.execute(connection, sql.INSERT_NEW, rows))


async def copy_new(connection: Any, messages: Messages, find: Find) -> int:
    """Only what is not in the table yet. Refused where another writer is storing the same at this moment."""
    new = await find(connection, without_repetitions(messages))
    return await copy_all(connection, new) if new else 0


async def copy_staged(connection: Any, messages: Messages) -> int:
    """Into a temporary table, and from there what is new, whatever other writers are storing."""
    unique = without_repetitions(messages)
    await connection.execute(sql.CREATE_STAGING)
    await _copy_into(connection, "staging", unique)
    return await _require_all(connection, unique, sql.affected(await connection.execute(sql.INSERT_STAGED)))


async def _require_all(connection: Any, messages: Messages, new: int) -> int:
    """So many of these rows are inserted, and the others have to be there; returns how many were new."""
    if new < sum(map(len, messages)) and (missing := await find_new_points(connection, messages)):
        new += await _copy_missing(connection, missing)
    return new


async def _copy_missing(connection: Any, messages: Messages) -> int:
    """What ON CONFLICT DO NOTHING skipped though it isn't in the table: raises what keeps it out, another unique index
    perhaps.

    Rows that a trigger gives another key may be there under that one.
    """
    try:
        async with in_transaction(connection):
            return await copy_all(connection, messages)
    except Exception as error:
        if not is_key_of_measures(error):
            raise
    return 0


async def _copy_into(connection: Any, table: str, messages: Messages) -> int:
    """Returns how many rows the table took."""

    async def chunks() -> AsyncIterator[bytes]:
        for chunk in encode(messages):
            yield chunk

    columns = Measure._fields
    return sql.affected(await connection.copy_to_table(table, source=chunks(), columns=columns, format="binary"))
