"""The shards that a writer serves: its own, and those left over from a larger INGEST_SHARDS while they hold entries."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from traksense_ingest.shared.runtime.health import Component
from traksense_ingest.shared.runtime.retry import retry_through_outage
from traksense_ingest.shared.runtime.service import unless_stopped
from traksense_ingest.shared.streams.client import Clients, left_behind
from traksense_ingest.shared.streams.keys import key_of

PERIOD_S = 60.0  # between two checks for streams that no receiver should be writing to

Serve = Callable[[int, asyncio.Event], Coroutine[Any, Any, None]]  # a shard's lanes, until the event

log = logging.getLogger(__name__)


class Shards:
    """Iterates over all that are being served."""

    def __init__(self, count: int) -> None:
        self.own = range(count)
        self.draining: dict[int, asyncio.Event] = {}  # left over; the event ends its lanes

    def __iter__(self) -> Iterator[int]:
        return iter([*self.own, *sorted(self.draining)])


async def drain_leftover_shards(
    clients: Clients, shards: Shards, serve: Serve, redis: Component, stop: asyncio.Event
) -> None:
    """Serve the shards beyond our own that hold entries: INGEST_SHARDS was larger when a receiver appended them."""
    async with asyncio.TaskGroup() as tasks:
        while not stop.is_set():
            found = await unless_stopped(
                stop, retry_through_outage(redis, lambda: left_behind(clients, len(shards.own)))
            )
            for shard in set(found or ()) - shards.draining.keys():
                about = {"stream": key_of(shard)}
                text = "%s holds entries though INGEST_SHARDS is %d: draining it"
                log.warning(text, key_of(shard), len(shards.own), extra=about)
                shards.draining[shard] = asyncio.Event()
                tasks.create_task(serve(shard, shards.draining[shard]), name=f"shard {shard}")
            for shard in shards.draining.keys() - set(found or ()):
                shards.draining.pop(shard).set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), PERIOD_S)
        for done in shards.draining.values():
            done.set()
