"""What the streams and the database say of themselves, every second, also while nothing comes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from shared.health import Component
from shared.metrics import WriterMetrics
from shared.outage import outlast
from shared.stream import GROUP, key_of
from writer.decode import utc_now
from writer.frozen import FrozenWriters
from writer.group import Group
from writer.store import Store

PERIOD_S = 1.0
DEVICES_PERIOD_S = 5.0
CONSUMERS_PERIOD_S = 60.0

log = logging.getLogger(__name__)


async def watch_pending(client: Redis, shards: int, redis: Component, metrics: WriterMetrics) -> None:
    """Keep the gauges of pending entries and of the oldest entry's age true."""
    streams = [key_of(shard) for shard in range(shards)]

    async def look() -> None:
        metrics.pending.set(sum([await _pending(client, stream) for stream in streams]))
        metrics.oldest_age.set(max([await _oldest_age(client, stream) for stream in streams]))

    while True:
        await outlast(redis, look)
        await asyncio.sleep(PERIOD_S)


async def watch_database(frozen: FrozenWriters, database: Component) -> None:
    """Notice that the database is away though nothing is stored, and end what a frozen writer left open."""
    while True:
        if ended := await outlast(database, frozen.end):
            log.warning("ended %d transactions of a writer that stands still", ended)
        await asyncio.sleep(PERIOD_S)


async def watch_devices(store: Store, database: Component) -> None:
    """Write the changes of devices that came too soon after the last ones."""
    while True:
        await asyncio.sleep(DEVICES_PERIOD_S)
        await outlast(database, lambda: store.write_overdue_devices(utc_now()))


async def watch_consumers(groups: Sequence[Group], redis: Component) -> None:
    """Forget the consumers of writers that died long ago."""
    while True:
        for group in groups:
            await outlast(redis, group.forget_dead)
        await asyncio.sleep(CONSUMERS_PERIOD_S)


async def _pending(client: Redis, stream: str) -> int:
    try:
        return int((await client.xpending(stream, GROUP))["pending"])
    except ResponseError:  # no stream or no group yet: nothing is pending
        return 0


async def _oldest_age(client: Redis, stream: str) -> float:
    """Seconds; settled entries are removed, so the first one is the oldest that is not settled."""
    oldest: Any = await client.xrange(stream, count=1)
    if not oldest:
        return 0.0
    ms = int(oldest[0][0].partition(b"-")[0])
    return max(0.0, time.time() - ms / 1000)
