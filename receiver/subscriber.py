"""What a receiver subscribes to, over one connection after another.

New mappings are used once a SUBACK accepts their filters: over this connection or, without one, over the next. Until
then, and if the broker refuses a filter, the current mappings stay in use. A SUBSCRIBE replaces nothing, so the current
filters need not be subscribed to again; new ones that were granted before a refusal are unsubscribed.

A broker that is being restarted ends connections, too. So only a connection that ends between the SUBSCRIBE with the
new filters and its SUBACK is blamed on them, and after the first one the current filters are subscribed to first: a
broker that ends the connection at these as well is not asked for the new ones.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NoReturn

import aiomqtt

from traksense_ingest.receiver.connection import SESSION_EXPIRY_S, Connection, subscriptions
from traksense_ingest.receiver.filters import Filters, Topics
from traksense_ingest.receiver.hints import Hints
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.failure import BROKER_ERRORS, Unusable, describe, is_permanent
from traksense_ingest.shared.mapping.reload import LiveMappings
from traksense_ingest.shared.runtime.health import Component
from traksense_ingest.shared.runtime.retry import Backoff, retry_through_outage
from traksense_ingest.shared.runtime.tasks import end_if_cancelled
from traksense_ingest.shared.streams.sharding import Sharding

LOSSES_MAX = 3  # connections that end at the new filters: some brokers close the connection instead of refusing

log = logging.getLogger(__name__)


@dataclass
class Change:
    """New mappings, to be used once the broker accepts their filters."""

    topics: Topics
    filters: Sequence[str]
    losses: int = 0
    refusal: Unusable | None = None
    is_settled: asyncio.Event = field(default_factory=asyncio.Event)
    is_waiting: bool = False  # for the broker, and that was logged

    def wait(self) -> None:
        """Log once that the broker has not accepted the filters yet."""
        if not self.is_waiting:
            self.is_waiting = True
            log.info("mappings read; they are used once the broker accepts their filters")

    def settle(self, refusal: Unusable | None = None) -> None:
        """They are used from now on, or never."""
        self.refusal = refusal
        self.is_settled.set()


class Subscriber:
    """Subscribes over each new connection, and to the filters of other mappings; shards by the mappings in use."""

    def __init__(
        self, settings: Settings, filters: Filters, mappings: LiveMappings[Topics], redis: Component, hints: Hints
    ) -> None:
        self.sharding = Sharding(settings.ingest_shards, mappings.prepared.shard_key)
        self._settings = settings
        self._filters = filters
        self._mappings = mappings
        self._redis = redis
        self._hints = hints
        self._connection: Connection | None = None  # which is subscribed
        self._change: Change | None = None
        self._lock = asyncio.Lock()
        self._has_obsolete = asyncio.Event()

    async def open(self, connection: Connection) -> Sequence[str]:
        """Subscribe over a new connection; returns the filters.

        Raises Unusable where the broker refuses those that are in use, and what aiomqtt raises.
        """
        async with self._lock:
            self._hints.connected(connection.allowed, SESSION_EXPIRY_S)
            is_doubtful = self._change is not None and self._change.losses > 0
            if is_doubtful:
                await self._subscribe(connection)
            if not (self._change and await self._try(connection, self._change)) and not is_doubtful:
                await self._subscribe(connection)
            self._connection = connection
            return self._filters.wanted

    async def _subscribe(self, connection: Connection) -> None:
        """To the filters that are in use."""
        self._hints.subscribed(await connection.subscribe(self._filters.wanted, self._settings.mqtt_qos))

    def close(self) -> None:
        """The connection has ended."""
        self._connection = None

    async def use(self, topics: Topics) -> None:
        """Subscribe to and shard by these topics of mappings; returns once they are in use. Raises Unusable where the
        broker refuses one of them: then all is as it was."""
        change = Change(topics, subscriptions(self._settings, topics.filters))
        async with self._lock:
            if set(change.filters) == set(self._filters.wanted):
                self.sharding.replace(topics.shard_key)
                return
            self._change = change
            await self._try_at_once(change)
        if not change.is_settled.is_set():
            change.wait()
            await change.is_settled.wait()
        if change.refusal:
            raise change.refusal

    async def _try_at_once(self, change: Change) -> None:
        """Over the connection, as long as there is one."""
        backoff = Backoff()
        while (connection := self._connection) and not (connection.is_lost or change.is_settled.is_set()):
            try:
                if await self._try(connection, change):
                    about = {"component": "broker", "filters": change.filters}
                    log.info("subscribed to %s", ", ".join(change.filters), extra=about)
            except BROKER_ERRORS:
                change.wait()
                await asyncio.sleep(backoff.delay())
            end_if_cancelled()

    async def _try(self, connection: Connection, change: Change) -> bool:
        """Whether the broker accepts the filters. Raises what aiomqtt raises: then it has not answered."""
        await retry_through_outage(self._redis, partial(self._filters.announce, change.filters))
        self.sharding.replace(change.topics.shard_key)  # before the first message of a new topic
        was_lost = connection.is_lost  # while Redis was waited for
        try:
            lowered = await connection.subscribe(change.filters, self._settings.mqtt_qos)
        except BaseException as error:
            self.sharding.replace(self._mappings.prepared.shard_key)
            self._filters.withdraw(change.filters)
            self._has_obsolete.set()
            if isinstance(error, Unusable):
                self._settle(change, error)
                return False
            if connection.is_lost and not was_lost:
                self._lost(change, error)
            raise
        self._filters.replace(change.filters)
        self._has_obsolete.set()
        self._hints.subscribed(lowered)
        self._settle(change)
        return True

    def _lost(self, change: Change, error: BaseException) -> None:
        """The connection has ended at the filters. Raises MqttError in the place of a reason that would end a receiver
        which has not been connected before: the filters that are in use are still to be tried."""
        change.losses += 1
        if is_permanent(error):
            self._settle(change, Unusable(describe(error)))
            raise aiomqtt.MqttError(describe(error)) from error
        if change.losses == LOSSES_MAX:
            self._settle(change, Unusable(f"the broker has ended {LOSSES_MAX} connections at their filters"))

    def _settle(self, change: Change, refusal: Unusable | None = None) -> None:
        self._change = None
        change.settle(refusal)

    async def unsubscribe_obsolete(self, connection: Connection) -> NoReturn:
        """Beside the work: a broker may never answer."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._has_obsolete.clear()
                tasks.create_task(self._filters.unsubscribe_obsolete(connection), name="unsubscribe")
                await self._has_obsolete.wait()
                end_if_cancelled()
