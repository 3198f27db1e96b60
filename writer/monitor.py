"""What the streams and the database say of themselves, every second, also while nothing comes."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from shared.health import Component
from shared.metrics import WriterMetrics
from shared.outage import outlast
from shared.stream import GROUP, key_of

PERIOD_S = 1.0
ANSWER_S = 5.0  # a database that takes longer for SELECT 1 is away


async def watch_pending(client: Redis, shards: int, redis: Component, metrics: WriterMetrics) -> None:
    """Keep the gauges of pending entries and of the oldest entry's age true."""
    streams = [key_of(shard) for shard in range(shards)]

    async def look() -> None:
        metrics.pending.set(sum([await _pending(client, stream) for stream in streams]))
        metrics.oldest_age.set(max([await _oldest_age(client, stream) for stream in streams]))

    while True:
        await outlast(redis, look)
        await asyncio.sleep(PERIOD_S)


async def watch_database(pool: Any, database: Component) -> None:
    """Notice that the database is away though nothing is stored."""
    while True:
        await outlast(database, lambda: pool.fetchval("SELECT 1", timeout=ANSWER_S))
        await asyncio.sleep(PERIOD_S)


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
