"""Where a lane's batches come from: its own pending entries, a dead writer's, then new ones."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence

from redis.exceptions import RedisError

from shared.health import Component
from shared.metrics import WriterMetrics
from shared.outage import outlast
from writer.entry import Entry
from writer.group import Class, Group
from writer.read_size import ReadSize

START = "0-0"

log = logging.getLogger(__name__)


class Source:
    """Hands out one batch at a time, and keeps what it handed out from being claimed until it is settled."""

    def __init__(
        self,
        group: Group,
        size: ReadSize,
        batch_ms: int,
        claim_idle_ms: int,
        redis: Component,
        metrics: WriterMetrics,
        stop: asyncio.Event,
    ) -> None:
        self._group = group
        self._size = size
        self._linger_s = batch_ms / 1000
        self._claim_idle_ms = claim_idle_ms
        self._redis = redis
        self._metrics = metrics
        self._stop = stop
        self._in_hand: Sequence[Entry] = ()
        self._pending_after: str | None = ""  # where to go on in our own pending entries; None: not needed
        self._cursor = START
        self._claim_due = time.monotonic()

    async def take(self) -> Sequence[Entry]:
        """The next batch; empty when none came for a while. Waits through outages of Redis."""
        self._in_hand = ()
        self._in_hand = await outlast(self._redis, self._take)
        self._size.observe(self._in_hand)
        return self._in_hand

    async def settle(self, classes: Mapping[Class, Sequence[Entry]], duplicates: int) -> dict[Class, int]:
        """These are committed, and so many of their rows were duplicates: acknowledge and remove them. Returns how many
        of each class were still there."""
        return await outlast(self._redis, lambda: self._group.settle(classes, duplicates)) if classes else {}

    async def defer(self, entries: Sequence[Entry]) -> None:
        """A bug kept these from being handled: count the try, and leave them to be claimed again."""
        if entries:
            await outlast(self._redis, lambda: self._group.failed(entries))

    def shrink(self, count: int) -> None:
        """The database was too slow for more than so many at once: take fewer."""
        self._size.shrink_to(count)

    async def keep_alive(self) -> None:
        """Renew what is in hand well before anybody may claim it; runs beside the lane."""
        while True:
            await asyncio.sleep(self._claim_idle_ms / 4000)
            if self._in_hand:
                await outlast(self._redis, lambda: self._group.renew(self._in_hand))

    async def leave(self) -> None:
        """Nothing more will be taken: forget the consumer, if Redis is there to hear it."""
        self._in_hand = ()
        try:
            await self._group.leave()
        except (RedisError, OSError):
            """A writer forgets it when it was silent for an hour."""

    async def _take(self) -> Sequence[Entry]:
        try:
            return await self._own_pending() or await self._claimed() or await self._new()
        except Exception:
            self._pending_after = ""  # a reply that was lost may have delivered entries to us
            self._size.shrink()
            raise

    async def _own_pending(self) -> Sequence[Entry]:
        """What an error left with us, page after page; what was deferred waits until it may be claimed."""
        while self._pending_after is not None:
            self._pending_after, entries = await self._group.read_pending(
                self._pending_after, self._size.count, self._claim_idle_ms
            )
            if entries:
                return self._redelivered(entries)
        return ()

    async def _claimed(self) -> Sequence[Entry]:
        """A dead writer's entries, page after page, then a pause of half the time that makes an entry idle."""
        while time.monotonic() >= self._claim_due:
            self._cursor, entries = await self._group.claim(self._cursor, self._claim_idle_ms, self._size.count)
            if self._cursor == START:
                await self._recover_adrift()
                self._claim_due = time.monotonic() + self._claim_idle_ms / 2000
            if entries:
                return self._redelivered(entries)
        return ()

    async def _recover_adrift(self) -> None:
        if count := await self._group.recover_adrift():
            log.warning("%s: %d entries that nobody held are delivered again", self._group.stream, count)

    async def _new(self) -> Sequence[Entry]:
        """What is there; when that doesn't fill a batch, what comes within INGEST_BATCH_MS as well."""
        count = self._size.count
        entries = await self._group.read(count, block=True)
        if entries and len(entries) < count and self._linger_s:
            self._in_hand = entries  # it may wait for longer than it takes to be claimed
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self._linger_s)
            entries += await self._group.read(count - len(entries), block=False)
        return entries

    def _redelivered(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        self._metrics.redeliveries.inc(len(entries))
        return entries
