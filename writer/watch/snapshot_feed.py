"""One snapshot of each shard a second, for all that watches the streams: gauges, the backlog, the ledgers' copies."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from traksense_ingest.shared.runtime.health import Component
from traksense_ingest.shared.runtime.retry import retry_through_outage
from traksense_ingest.shared.streams.client import Clients
from traksense_ingest.shared.streams.snapshot import StreamSnapshot, read_snapshot

Snapshots = Sequence[StreamSnapshot]


class SnapshotFeed:
    """Takes the snapshots, and hands them to whoever waits for the next ones. Waits through outages of Redis."""

    def __init__(self, clients: Clients, shards: Iterable[int], redis: Component) -> None:
        self._clients = clients
        self._shards = shards
        self._redis = redis
        self._waiting: list[asyncio.Future[Snapshots]] = []

    async def take(self) -> Snapshots:
        """One of each shard, now."""
        waiting = tuple(self._waiting)  # who comes later may have seen something that these do not show
        snapshots = await retry_through_outage(self._redis, self._read)
        for future in waiting:
            if not future.done():
                future.set_result(snapshots)
        self._waiting = [future for future in self._waiting if not future.done()]
        return snapshots

    async def next(self) -> Snapshots:
        """The next ones that are begun after this call."""
        future: asyncio.Future[Snapshots] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        return await future

    async def _read(self) -> Snapshots:
        return [await read_snapshot(self._clients, shard) for shard in self._shards]
