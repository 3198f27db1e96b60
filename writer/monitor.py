"""What the streams and the database say of themselves, every second, also while nothing comes.

All of it is beside the work: trouble with it is told and ends nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from redis.asyncio import Redis

from shared.health import Component
from shared.metrics import WriterMetrics
from shared.outage import outlast
from shared.shard import Shard, read_shard
from shared.watch import watch
from writer.decode import utc_now
from writer.frozen import FrozenWriters
from writer.group import Group
from writer.ledger import LedgerWatch
from writer.store import Store

PERIOD_S = 1.0
DEVICES_PERIOD_S = 5.0
CONSUMERS_PERIOD_S = 60.0

log = logging.getLogger(__name__)


async def watch_streams(
    client: Redis, shards: Iterable[int], ledgers: LedgerWatch, redis: Component, metrics: WriterMetrics
) -> None:
    """Keep the gauges of pending entries, of the oldest entry's age and of lost entries true."""

    async def read() -> list[Shard]:
        return [await read_shard(client, shard) for shard in shards]

    async def look() -> None:
        found = await outlast(redis, read)
        metrics.pending.set(sum(shard.pending for shard in found))
        metrics.oldest_age.set(max(shard.oldest_s for shard in found))
        metrics.lost.set(ledgers.lost + sum(max(shard.missing, 0) for shard in found))

    await watch("the streams", look, PERIOD_S)


async def watch_ledgers(ledgers: LedgerWatch, shards: Iterable[int]) -> None:
    """Keep the ledgers' copies in the database, and notice what is lost."""
    await watch("the ledgers", lambda: ledgers.look(shards), PERIOD_S)


async def watch_database(frozen: FrozenWriters, database: Component) -> None:
    """Notice that the database is away though nothing is stored, and end what a frozen writer left open."""

    async def look() -> None:
        if ended := await outlast(database, frozen.end):
            log.warning("ended %d transactions of a writer that stands still", ended)

    await watch("the database", look, PERIOD_S)


async def watch_devices(store: Store, database: Component) -> None:
    """Write the changes of devices that came too soon after the last ones."""

    async def look() -> None:
        await outlast(database, lambda: store.write_overdue_devices(utc_now()))

    await watch("the devices", look, DEVICES_PERIOD_S)


async def watch_consumers(client: Redis, shards: Iterable[int], redis: Component) -> None:
    """Forget the consumers of writers that died long ago."""

    async def look() -> None:
        for shard in shards:
            await outlast(redis, Group(client, shard, "").forget_dead)

    await watch("the consumers", look, CONSUMERS_PERIOD_S)
