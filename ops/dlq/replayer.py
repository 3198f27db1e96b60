"""The loop of a replay: take a batch under lock, append it, mark it, commit.

In this order nothing can be marked that isn't in the stream. A crash between the append and the COMMIT leaves a batch
unmarked that is in the stream: the next replay appends it again, which changes no stored row but an ACK's updated_at.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from traksense_ingest.ops.appending.pace import BATCH_BYTES, Pace, Room
from traksense_ingest.ops.database import each_row
from traksense_ingest.ops.dlq.append import Streams
from traksense_ingest.ops.dlq.dead_letter import DeadLetter, Selection, dead_letter_from
from traksense_ingest.ops.dlq.table import COUNT_DUE, DUE, LETTERS, MARK, NOW, TAKE
from traksense_ingest.shared.database import in_transaction
from traksense_ingest.shared.runtime.service import unless_stopped


class ReplayQueue:
    """The selected rows that were not replayed yet or, with `again`, not since this run began; each once in a run.

    Bounded by the last id at the start: what is rejected again while the replay runs is not replayed in it.
    """

    def __init__(self, connection: Any, selection: Selection, last: int, before: datetime | None) -> None:
        self._connection = connection
        self._selection = selection
        self.last = last
        self.before = before

    @classmethod
    async def since_now(cls, connection: Any, selection: Selection, *, again: bool) -> ReplayQueue:
        """What is in the table at this moment."""
        now = await connection.fetchrow(NOW)
        return cls(connection, selection, now["last"], now["at"] if again else None)

    async def count(self) -> int:
        """Rows that are left, including those that another replay has locked."""
        return int(await self._connection.fetchval(COUNT_DUE, *self._from(self._selection.first)))

    async def take(self, first: int, limit: int) -> list[DeadLetter]:
        """The next rows from an id on, locked for this transaction."""
        rows = await self._connection.fetch(TAKE, *self._from(first), limit)
        ids = _first_that_fit([(row["id"], row["bytes"]) for row in rows])
        found = await self._connection.fetch(LETTERS, *Selection(ids=ids).arguments)
        return [dead_letter_from(row) for row in found]

    async def mark(self, ids: Sequence[int]) -> None:
        """They are replayed, once the transaction is committed."""
        await self._connection.execute(MARK, ids)

    async def unlocked(self, limit: int | None) -> AsyncIterator[DeadLetter]:
        """All of them, without locking them; in a transaction."""
        arguments = *self._from(self._selection.first), limit
        async for row in each_row(self._connection, DUE, *arguments, at_once=20):
            yield dead_letter_from(row)

    def _from(self, first: int | None) -> tuple[Any, ...]:
        return (*self._selection.between(first, self.last).arguments, self.before)


def _first_that_fit(sizes: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """The ids of the first rows, as many as fit into BATCH_BYTES; one at least."""
    ids: list[int] = []
    total = 0
    for id_, size in sizes:
        total += size
        if ids and total > BATCH_BYTES:
            break
        ids.append(id_)
    return tuple(ids)


@dataclass
class Tally:
    """What a run has done so far."""

    replayed: int = 0
    skipped: list[int] = field(default_factory=list)  # ids that can't be replayed exactly
    next_id: int = 1  # all rows before it are done

    @property
    def done(self) -> int:
        """Rows that are done with."""
        return self.replayed + len(self.skipped)


class Replayer:
    """Replays the queue until it is empty, `limit` is reached, or `stop` is set."""

    def __init__(
        self,
        connection: Any,
        queue: ReplayQueue,
        streams: Streams,
        pace: Pace,
        stop: asyncio.Event,
        log: Callable[[str], None],
        tally: Tally,
    ) -> None:
        self.tally = tally
        self._connection = connection
        self._queue = queue
        self._streams = streams
        self._pace = pace
        self._stop = stop
        self._log = log
        self._room = Room(streams, stop, log)

    async def run(self, limit: int | None, first: int | None) -> None:
        """Raises what asyncpg and redis-py raise; then the current batch is not marked."""
        self.tally.next_id = first or 1
        while not self._stop.is_set():
            await unless_stopped(self._stop, asyncio.sleep(self._pace.delay(time.monotonic())))
            size = self._pace.batch if limit is None else min(self._pace.batch, limit - self.tally.replayed)
            if self._stop.is_set() or not size or not await self._replay(size):
                return

    async def _replay(self, size: int) -> bool:
        """One batch; False when there is none left."""
        async with in_transaction(self._connection, isolation="read_committed"):  # reads the rows again that it locks
            letters = await self._queue.take(self.tally.next_id, size)
            exact = [letter for letter in letters if letter.replay_blocker is None]
            overflows = await self._streams.append(exact)
            waiting = {letter.id for overflow in overflows for letter in overflow.messages}
            done = [letter.id for letter in exact if letter.id not in waiting]
            await self._queue.mark(done)
        self._pace.sent(len(done), time.monotonic())
        self.tally.replayed += len(done)
        self._advance(letters, waiting)
        if overflows:
            await self._room.wait(overflows)
        return bool(letters)

    def _advance(self, letters: Sequence[DeadLetter], waiting: set[int]) -> None:
        """Move past what is done, and log why a row can't be replayed."""
        if letters:
            self.tally.next_id = min(waiting, default=letters[-1].id + 1)
        for letter in letters:
            if letter.replay_blocker and letter.id < self.tally.next_id:
                self.tally.skipped.append(letter.id)
                self._log(f"{letter.id}: not replayed: {letter.replay_blocker}")
