"""The dead letters that a replay takes, each at most once in a run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

from ops.dlq import sql
from ops.dlq.letter import Letter, letter_of
from ops.dlq.selection import Selection

BATCH_BYTES = 8 * 1024 * 1024  # of payloads in one batch, if it is more than one


class Due:
    """Rows that are selected and were not replayed; with `again` not since this run began.

    Bounded by the last id at the start: what is rejected again while the replay runs is not replayed in it.
    """

    def __init__(self, connection: Any, selection: Selection, last: int, before: datetime | None) -> None:
        self._connection = connection
        self._selection = selection
        self._last = last
        self._before = before

    @classmethod
    async def since_now(cls, connection: Any, selection: Selection, *, again: bool) -> Due:
        """What is there at this moment."""
        now = await connection.fetchrow(sql.NOW)
        return cls(connection, selection, now["last"], now["at"] if again else None)

    async def count(self) -> int:
        """Rows that are left, those that somebody else has in hand included."""
        return int(await self._connection.fetchval(sql.COUNT_DUE, *self._from(self._selection.first)))

    async def take(self, first: int, limit: int) -> list[Letter]:
        """The next rows from an id on, locked for this transaction."""
        rows = await self._connection.fetch(sql.TAKE, *self._from(first), limit)
        ids = _first_that_fit([(row["id"], row["bytes"]) for row in rows])
        found = await self._connection.fetch(sql.LETTERS, *Selection(ids=ids).arguments)
        return [letter_of(row) for row in found]

    async def mark(self, ids: Sequence[int]) -> None:
        """They are replayed, once the transaction is committed."""
        await self._connection.execute(sql.MARK, ids)

    async def look(self, limit: int | None) -> AsyncIterator[Letter]:
        """All of them, none of them locked; in a transaction."""
        async for row in self._connection.cursor(sql.DUE, *self._from(self._selection.first), limit, prefetch=20):
            yield letter_of(row)

    def _from(self, first: int | None) -> tuple[Any, ...]:
        return (*self._selection.between(first, self._last).arguments, self._before)


def _first_that_fit(sizes: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """The ids of the first of them, so many as BATCH_BYTES hold; one at least."""
    ids: list[int] = []
    total = 0
    for id_, size in sizes:
        total += size
        if ids and total > BATCH_BYTES:
            break
        ids.append(id_)
    return tuple(ids)
