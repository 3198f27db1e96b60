"""The shards that a writer serves: its own, and those of a run with more of them, for as long as they hold entries."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from redis.asyncio import Redis

from shared.health import Component
from shared.outage import outlast
from shared.service import unless_stopped
from shared.stream import key_of, left_behind

PERIOD_S = 60.0  # between looks at streams that nobody should be writing to

Serve = Callable[[int, asyncio.Event], Coroutine[Any, Any, None]]  # a shard's lanes, until the event

log = logging.getLogger(__name__)


class Shards:
    """Iterates over all that are served at the moment."""

    def __init__(self, count: int) -> None:
        self.own = range(count)
        self.draining: dict[int, asyncio.Event] = {}  # left behind; the event ends its lanes

    def __iter__(self) -> Iterator[int]:
        return iter([*self.own, *sorted(self.draining)])


async def drain_left_behind(client: Redis, shards: Shards, serve: Serve, redis: Component, stop: asyncio.Event) -> None:
    """Serve the shards beyond our own that hold entries: INGEST_SHARDS was larger, and no receiver may ever come back
    to them."""
    async with asyncio.TaskGroup() as tasks:
        while not stop.is_set():
            found = await unless_stopped(stop, outlast(redis, lambda: left_behind(client, len(shards.own))))
            for shard in set(found or ()) - shards.draining.keys():
                log.warning("%s holds entries though INGEST_SHARDS is %d: draining it", key_of(shard), len(shards.own))
                shards.draining[shard] = asyncio.Event()
                tasks.create_task(serve(shard, shards.draining[shard]), name=f"shard {shard}")
            for shard in shards.draining.keys() - set(found or ()):
                shards.draining.pop(shard).set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), PERIOD_S)
        for done in shards.draining.values():
            done.set()
