"""The ledgers' copies in the database, and what they tell: entries that went unsettled, and how many.

A stream that is deleted takes its figures with it, and often its ledger. Then the copy says what was in it, or the last
look of a writer, where the database was away.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from redis.asyncio import Redis

from shared.failure import Kind, describe, kind_of
from shared.health import Component
from shared.ledger import Ledger
from shared.ledger_rows import LedgerRow, LedgerRows
from shared.outage import outlast
from shared.shard import Shard, read_after, read_shard
from shared.stream import Scripts, key_of, ledger_of, number_of
from shared.tasks import end_if_cancelled
from writer.decode import Clock, utc_now

# A row that is younger was just written by another writer; one that is older is written again though nothing changed,
# so that `seen_at` says within a minute when the stream was last there.
YOUNG_S, OLD_S = 0.5, 60.0
TOLD_AFTER = 2  # looks: the first one may be of an outage that nobody has told yet

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loss:
    """Entries that are gone, when their stream was last seen with them, and how many there were."""

    gone: int
    missing: int  # that were removed before, and go with the ledger that says so
    in_stream: int
    seen_at: datetime | None


@dataclass(frozen=True)
class Seen:
    """The last look at a stream, and what was lost since its row was written. Starts from the row itself."""

    row: LedgerRow
    ledger: Ledger
    at: datetime | None
    loss: Loss | None = None

    def is_of(self, row: LedgerRow) -> bool:
        """Whether nobody has written the row since."""
        return self.row.looks == row.looks

    def then(self, now: Shard, at: datetime) -> Seen:
        """After the next look."""
        if self.ledger.precedes(now):
            return replace(self, ledger=now, at=at)
        before = self.loss or Loss(0, 0, 0, None)
        gone = before.gone + self.ledger.gone_in(now, now.remaining)
        missing = before.missing + max(self.ledger.missing, 0)
        return Seen(self.row, now, at, Loss(gone, missing, self.ledger.in_stream, self.at))


class LedgerWatch:
    """Keeps the copies, and notices what does not follow from them. Waits through outages of Redis.

    The database's component is asked and never told: a table of ours that is locked says nothing of the others.
    """

    def __init__(
        self, client: Redis, rows: LedgerRows, redis: Component, database: Component, clock: Clock = utc_now
    ) -> None:
        self._client = client
        self._rows = rows
        self._redis = redis
        self._database = database
        self._clock = clock
        self._write_off = Scripts(client).write_off
        self._copies: dict[str, LedgerRow] = {}
        self._seen: dict[str, Seen] = {}
        self._outage: Exception | None = None  # in the last look
        self._without = 0  # looks in a row that the database did not answer though it is there

    @property
    def lost(self) -> int:
        """Entries that went with their streams, by the last look."""
        unwritten = [
            seen.loss for seen in self._seen.values() if seen.loss and seen.is_of(self._copy_of(seen.row.stream))
        ]
        return sum(row.lost for row in self._copies.values()) + sum(loss.gone + loss.missing for loss in unwritten)

    async def look(self, shards: Iterable[int]) -> None:
        """Look once at these shards, and at those that had a backlog when last seen."""
        self._outage = None
        copies = await self._ask(self._rows.read)  # first: what Redis says is then the newer one
        self._copies = self._copies if copies is None else copies
        streams = {key_of(shard) for shard in shards} | {row.stream for row in self._copies.values() if row.in_stream}
        for stream in sorted(streams):
            row = self._copy_of(stream)
            if not row.is_closed:
                await self._look_again(row, is_away=copies is None)
            elif copies is not None:
                await self._begin_anew(row)
        self._tell()

    def _tell(self) -> None:
        if self._outage is None:
            if self._without >= TOLD_AFTER:
                log.info("the ledgers' copies are kept again")
            self._without = 0
        elif self._database.is_up:
            self._without += 1
            if self._without == TOLD_AFTER:
                log.warning("the ledgers' copies wait for stream_ledger: %s", describe(self._outage))

    def _copy_of(self, stream: str) -> LedgerRow:
        return self._copies.get(stream) or LedgerRow(stream=stream)

    async def _look_again(self, row: LedgerRow, *, is_away: bool) -> None:
        seen = self._seen.get(row.stream)
        if seen is None or not seen.is_of(row):
            seen = Seen(row, row, row.seen_at)  # somebody has written the row: it is newer than what we knew
        seen = await self._read(replace(seen, row=row), is_counted=is_away)
        if is_away:
            return  # what we have seen is kept until the database is back
        if seen.loss:
            await self._close(row, seen.ledger, seen.loss)
        elif _is_due(row, seen.ledger):
            await self._copy(seen)

    async def _copy(self, seen: Seen) -> None:
        row, seen = seen.row, await self._read(seen, is_counted=True)
        if seen.loss or seen.ledger.looks == row.looks:
            return  # lost in this very moment, or not counted: the next look will do
        more = seen.ledger.missing - max(row.missing, 0)
        if await self._replace(row, seen.ledger) and more > 0:
            log.error(
                "%s: %d entries were removed by other hands (XDEL, XTRIM) and not stored; %d are missing now",
                *(row.stream, more, seen.ledger.missing),
            )

    async def _close(self, row: LedgerRow, now: Ledger, loss: Loss) -> None:
        """What was unsettled and is gone is lost; the ledger is begun anew from what is there."""
        closed = replace(row, looks=max(row.looks, now.looks) + 1)
        written = await self._replace(row, closed, lost=loss.gone + loss.missing, is_closed=True)
        if not written:
            return  # another writer has noticed it, or the database is away
        log.log(
            logging.ERROR if loss.gone else logging.INFO,
            "%s was deleted, or Redis has an older state of it: %d entries that were not settled are gone; "
            "last seen: %s, with %d in it",
            *(
                row.stream,
                loss.gone,
                loss.seen_at.isoformat(" ", "seconds") if loss.seen_at else "never",
                loss.in_stream,
            ),
        )
        await self._begin_anew(written)

    async def _begin_anew(self, row: LedgerRow) -> None:
        """May be done again by whoever finds a row that is still closed: the second time changes nothing."""
        shard, looks = number_of(row.stream), row.looks
        keys = [row.stream, ledger_of(shard)]
        await outlast(self._redis, lambda: self._write_off(keys=keys, args=[looks]))
        now = await outlast(self._redis, lambda: read_shard(self._client, shard))
        if now.looks >= looks:
            await self._replace(row, now)

    async def _read(self, seen: Seen, *, is_counted: bool) -> Seen:
        shard, last = number_of(seen.row.stream), seen.ledger
        now = await outlast(self._redis, lambda: read_after(self._client, shard, last, is_counted=is_counted))
        seen = seen.then(now, self._clock())
        self._seen[seen.row.stream] = seen = replace(seen, ledger=replace(now, looks=now.looks + now.is_counted))
        return seen

    async def _replace(
        self, row: LedgerRow, now: Ledger, *, lost: int = 0, is_closed: bool = False
    ) -> LedgerRow | None:
        """The row as it is now; None when somebody else has changed it, or the database is away."""
        written = await self._ask(lambda: self._rows.replace(row, now, lost=lost, is_closed=is_closed))
        if written:
            self._copies[row.stream] = written
        return written

    async def _ask(self, question: Callable[[], Awaitable[T]]) -> T | None:
        """What the database answers, or None in an outage. Raises what is none."""
        try:
            answer = await question()
        except Exception as error:
            if kind_of(error) is not Kind.OUTAGE:
                raise
            self._outage = error
            return None
        end_if_cancelled()
        return answer


def _is_due(row: LedgerRow, now: Ledger) -> bool:
    if row.figures == now.figures:
        return row.seen_at is not None and row.age_s > OLD_S
    return not 0 <= row.age_s < YOUNG_S
