"""Whether all processes have the same INGEST_SHARDS. Otherwise a device's messages go to two streams, which two lanes
store, each at its own pace."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from typing import NoReturn

from redis.exceptions import ResponseError

from traksense_ingest.shared.failure import REDIS_ERRORS
from traksense_ingest.shared.listing import listed
from traksense_ingest.shared.runtime.retry import watch
from traksense_ingest.shared.streams import heartbeat
from traksense_ingest.shared.streams.client import Clients
from traksense_ingest.shared.streams.heartbeat import Receiver, Writer, running

PERIOD_S = 10.0

log = logging.getLogger(__name__)


def by_shard_count(receivers: Sequence[Receiver] | None, writers: Sequence[Writer] | None) -> dict[int, list[str]]:
    """The names of the processes that run, by their INGEST_SHARDS; without those of a version that does not say it."""
    found: dict[int, list[str]] = {}
    for name, each in running(receivers, writers):
        if each.shards is not None:
            found.setdefault(each.shards, []).append(name)
    return dict(sorted(found.items()))


class ShardCount:
    """Compares a process's own INGEST_SHARDS with that of the others."""

    def __init__(self, clients: Clients, shards: int) -> None:
        self._clients = clients
        self._shards = shards
        self._is_warned = False

    async def watch(self) -> NoReturn:
        """Every 10 s. Outages of Redis are logged by what works with it."""

        async def check() -> None:
            with contextlib.suppress(*REDIS_ERRORS):
                await self.check()

        await watch("the number of shards", check, PERIOD_S)

    async def check(self) -> None:
        """Log a warning when another process has another number; one, as long as that is so. Raises what redis-py
        raises, but says nothing of what this user of Redis may not read."""
        receivers: Sequence[Receiver] = ()
        writers: Sequence[Writer] = ()
        with contextlib.suppress(ResponseError):
            receivers = await heartbeat.receivers(self._clients)
        with contextlib.suppress(ResponseError):
            writers = await heartbeat.writers(self._clients)
        found = by_shard_count(receivers, writers)
        found.pop(self._shards, None)
        if found and not self._is_warned:
            log.warning(
                "INGEST_SHARDS is %d here, but not in all processes (%s): a device's messages may be on two streams, "
                "out of order; give all receivers and writers the same number",
                self._shards,
                listed(f"{name}: {shards}" for shards, names in found.items() for name in names),
                extra={"variable": "INGEST_SHARDS"},
            )
        self._is_warned = bool(found)
