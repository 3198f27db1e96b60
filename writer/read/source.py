"""Where a lane's batches come from: its own pending entries, a dead writer's, then new ones; bounded in messages and
in bytes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache

from traksense_ingest.shared.failure import REDIS_ERRORS
from traksense_ingest.shared.metrics import WriterMetrics
from traksense_ingest.shared.runtime.health import Component
from traksense_ingest.shared.runtime.retry import retry_through_outage
from traksense_ingest.writer.entry import Entry
from traksense_ingest.writer.outcome import AwaitsBirth, Deferred, Ignored, Settleable
from traksense_ingest.writer.read.consumer import Consumer, SettlementKey

START = "0-0"
BATCH_BYTES = 4 * 1024 * 1024  # at 60 bytes a point some 70 000 rows: enough for COPY, little for memory
FIRST = 16  # entries, before anything is known of their size

log = logging.getLogger(__name__)


class ReadSize:
    """Follows the size of what came: shrinks at once when payloads are large, doubles while they are small.

    Beyond what the database was too slow for it grows in small steps, since each try of too much costs a time-out.
    """

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self.count = min(FIRST, batch_size)
        self._double_to = batch_size

    def shrink(self) -> None:
        """A read failed: perhaps its reply was too large to arrive in time."""
        self.count = max(1, self.count // 2)

    def shrink_to(self, count: int) -> None:
        """More than so many at once could not be stored in time."""
        self.count = self._double_to = min(self.count, count)

    def observe(self, entries: Sequence[Entry]) -> None:
        """Learn from a batch."""
        if entries:
            size = sum(len(entry.payload or b"") for entry in entries)
            fits = BATCH_BYTES * len(entries) // max(size, 1)
            grown = max(min(self.count * 2, self._double_to), self.count + max(1, self.count // 16))
            self.count = max(1, min(fits, grown, self._batch_size))


class Source:
    """Hands out one batch at a time, and keeps what it handed out from being claimed until it is settled."""

    def __init__(
        self,
        consumer: Consumer,
        size: ReadSize,
        batch_ms: int,
        claim_idle_ms: int,
        redis: Component,
        metrics: WriterMetrics,
        stop: asyncio.Event,
    ) -> None:
        self._consumer = consumer
        self._size = size
        self._linger_s = batch_ms / 1000
        self._claim_idle_ms = claim_idle_ms
        self._redis = redis
        self._metrics = metrics
        self._stop = stop
        self._in_hand: Sequence[Entry] = ()
        self._is_full = False  # the batch has as many as were asked for: there is probably more
        self.has_read_ahead = False  # a batch was read that is not taken yet
        self._pending_after: str | None = ""  # where to continue in our own pending entries; None: not needed
        self._cursor = START
        self._claim_due = time.monotonic()
        self._new_first = False

    async def take(self) -> Sequence[Entry]:
        """The next batch; empty when none came for a while. Waits through outages of Redis."""
        if not self.has_read_ahead:
            self._in_hand = ()
            self._in_hand = await retry_through_outage(self._redis, self._take)
        self.has_read_ahead = False
        self._is_full = len(self._in_hand) >= self._size.count
        self._size.observe(self._in_hand)
        return self._in_hand

    async def settle(self, settled: Sequence[Settleable], duplicates: int) -> dict[SettlementKey, int]:
        """These are committed, and so many of their rows were duplicates: acknowledge and remove them. Returns how many
        of each kind and verdict were still in the stream. Where a backlog waits, the next batch is read with it."""
        entries: dict[SettlementKey, list[Entry]] = {}
        for outcome in settled:
            entries.setdefault(_key_of(outcome), []).append(outcome.entry)
        if not entries:
            return {}
        return await retry_through_outage(self._redis, lambda: self._settle(entries, duplicates))

    async def defer(self, deferred: Sequence[Deferred | AwaitsBirth]) -> None:
        """These could not be handled: count the try, and leave them to be claimed again."""
        if entries := [outcome.entry for outcome in deferred]:
            await retry_through_outage(self._redis, lambda: self._consumer.nack(entries))

    def read_pending_again(self) -> None:
        """What is pending on this consumer and not in hand may be stored now."""
        self._pending_after = ""

    def take_new_first(self) -> None:
        """Next time prefer new entries: all of the last batch are held back, and what could be claimed may be too."""
        self._new_first = True

    def limit(self, count: int | None) -> None:
        """Take no more than so many at once, since more were too much for the database; None: they were not."""
        if count is not None:
            self._size.shrink_to(count)

    async def keep_alive(self) -> None:
        """Renew the lease of what is in hand well before anybody may claim it; runs beside the lane."""
        while True:
            await asyncio.sleep(self._claim_idle_ms / 4000)
            if self._in_hand:
                await retry_through_outage(self._redis, lambda: self._consumer.renew_lease(self._in_hand))

    async def leave(self) -> None:
        """Nothing more will be taken: delete the consumer, if Redis is reachable."""
        self._in_hand = ()
        try:
            await self._consumer.leave()
        except REDIS_ERRORS:
            """A writer deletes it when it was idle for 10 minutes."""

    async def _take(self) -> Sequence[Entry]:
        try:
            if self._new_first:
                self._new_first = False
                if entries := await self._consumer.read(self._size.count, block=False):
                    return entries
            return await self._own_pending() or await self._claimed() or await self._new()
        except Exception:
            self._reply_lost()
            raise

    async def _settle(
        self, entries: Mapping[SettlementKey, Sequence[Entry]], duplicates: int
    ) -> dict[SettlementKey, int]:
        if not self._may_read_ahead(sum(map(len, entries.values()))):
            return await self._consumer.settle(entries, duplicates)
        try:
            removed, ahead = await self._consumer.settle_and_read(entries, duplicates, self._size.count)
        except Exception:
            self._reply_lost()
            raise
        self._in_hand, self.has_read_ahead = ahead, bool(ahead)
        return removed

    def _may_read_ahead(self, settled: int) -> bool:
        """Whether nothing else is to be taken first, and the lane is done with its batch: all of it is settled."""
        return (
            self._is_full
            and settled == len(self._in_hand)
            and self._pending_after is None
            and not self._new_first
            and time.monotonic() < self._claim_due
            and not self._stop.is_set()
        )

    def _reply_lost(self) -> None:
        """It may have delivered entries, and have been too large to arrive in time."""
        self._pending_after = ""
        self._size.shrink()

    async def _own_pending(self) -> Sequence[Entry]:
        """What an error left pending, page after page; what was deferred waits until it may be claimed."""
        while self._pending_after is not None:
            self._pending_after, entries = await self._consumer.read_pending(
                self._pending_after, self._size.count, self._claim_idle_ms
            )
            if entries:
                return self._redelivered(entries)
        return ()

    async def _claimed(self) -> Sequence[Entry]:
        """A dead writer's entries, page after page, then a pause of half the time that makes an entry idle."""
        while time.monotonic() >= self._claim_due:
            self._cursor, entries = await self._consumer.claim(self._cursor, self._claim_idle_ms, self._size.count)
            if self._cursor == START:
                await self._requeue_orphans()
                self._claim_due = time.monotonic() + self._claim_idle_ms / 2000
            if entries:
                return self._redelivered(entries)
        return ()

    async def _requeue_orphans(self) -> None:
        if count := await self._consumer.requeue_orphans():
            stream = self._consumer.stream
            about = {"stream": stream, "count": count}
            log.warning("%s: %d entries that no consumer held are delivered again", stream, count, extra=about)

    async def _new(self) -> Sequence[Entry]:
        """What is in the stream; when that doesn't fill a batch, what comes within INGEST_BATCH_MS as well."""
        count = self._size.count
        entries = await self._consumer.read(count, block=True)
        if entries and len(entries) < count and self._linger_s:
            self._in_hand = entries  # it may wait for longer than it takes to be claimed
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self._linger_s)
            entries += await self._consumer.read(count - len(entries), block=False)
        return entries

    def _redelivered(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        self._metrics.redeliveries.inc(len(entries))
        return entries


def _key_of(outcome: Settleable) -> SettlementKey:
    if isinstance(outcome, Ignored):
        return _settlement_key(outcome.kind, outcome.verdict, outcome.reason, outcome.mapping)
    return _settlement_key(outcome.kind, outcome.verdict)


_settlement_key = lru_cache(maxsize=1024)(SettlementKey)  # nearly all of a batch have the same
