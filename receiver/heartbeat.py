"""A receiver's heartbeat in Redis, for `traksense-ingest status`. In the background: an error here stops nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NoReturn

from redis.exceptions import RedisError, ResponseError

from traksense_ingest.shared.failure import describe
from traksense_ingest.shared.mapping.reload import LiveMappings
from traksense_ingest.shared.metrics import ReceiverMetrics
from traksense_ingest.shared.runtime.health import Component
from traksense_ingest.shared.runtime.tasks import end_if_cancelled, raise_sole_error
from traksense_ingest.shared.streams.client import Clients
from traksense_ingest.shared.streams.connection import is_of_server
from traksense_ingest.shared.streams.heartbeat import CHECK_S, Pulse, Receiver, deregister, register, waits_of

STOP_S = 1.0  # a Redis that is unreachable must not hold up the shutdown

log = logging.getLogger(__name__)


class Heartbeat:
    """Registers this receiver every 2 s, and when a component is lost or back; at the end as stopped."""

    def __init__(
        self,
        clients: Clients,
        client_id: str,
        shards: int,
        components: Mapping[str, Component],
        mappings: LiveMappings[Any],
        metrics: ReceiverMetrics,
    ) -> None:
        self._clients = clients
        self._client_id = client_id
        self._shards = shards
        self._components = components
        self._broker = components["broker"]
        self._pulse = Pulse(components)
        self._mappings = mappings
        self._metrics = metrics
        self._is_warned = False
        self._was_known: bool | None = None  # by an earlier run; None until Redis has answered
        self._last = time.monotonic(), 0  # when the last heartbeat was, and how many messages had been appended

    @asynccontextmanager
    async def sent(self) -> AsyncIterator[None]:
        """For as long as the block, also while it waits for Redis before it has begun to work."""
        try:
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(self.run(), name="heartbeat")
                yield
                running.cancel()
        except BaseExceptionGroup as group:
            raise_sole_error(group)

    async def run(self) -> NoReturn:
        """Until it is cancelled."""
        try:
            while True:
                if self._pulse.is_due():
                    await self._register()
                end_if_cancelled()
                await asyncio.sleep(CHECK_S)
        finally:
            with contextlib.suppress(
                RedisError, OSError
            ):  # without it, the missing heartbeats say the same a little later
                async with asyncio.timeout(STOP_S):
                    await self._stop()

    async def _register(self) -> None:
        try:
            is_new = await register(self._clients, self._receiver())
            if self._was_known is None:
                self._was_known = not is_new
        except (RedisError, OSError) as error:
            self._warn(error)

    async def _stop(self) -> None:
        """Its session stays at the broker and still receives messages. A receiver that never subscribed has none."""
        if self._broker.was_up or self._was_known is not False:
            await register(self._clients, self._receiver(stopped=True))
        else:
            await deregister(self._clients, self._client_id)

    def _receiver(self, *, stopped: bool = False) -> Receiver:
        appended, now = int(self._value("ingest_appended_messages_total")), time.monotonic()
        (then, before), self._last = self._last, (now, appended)
        return Receiver(
            client_id=self._client_id,
            process=f"{socket.gethostname()}-{os.getpid()}",
            broker=self._broker.is_up,
            waiting=bool(self._value("ingest_backpressure")),
            appended=appended,
            appended_per_s=round((appended - before) / max(now - then, 1e-9), 1),
            stopped=stopped,
            shards=self._shards,
            mappings=self._mappings.digests,
            reload_error=self._mappings.reload_error,
            waits=() if stopped else waits_of(self._components),
        )

    def _value(self, name: str) -> float:
        return self._metrics.registry.get_sample_value(name) or 0.0

    def _warn(self, error: Exception) -> None:
        """Outages of Redis are logged by what works with it; a missing privilege, or a key of another type, here."""
        if isinstance(error, ResponseError) and not is_of_server(error) and not self._is_warned:
            self._is_warned = True
            about = {"component": "redis", "client_id": self._client_id}
            log.warning("`traksense-ingest status` can't see this receiver: %s", describe(error), extra=about)
