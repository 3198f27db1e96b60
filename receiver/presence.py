"""A receiver's sign of life in Redis, for `traksense-ingest status`. Beside the work: trouble with it ends nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from typing import NoReturn

from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, OutOfMemoryError, ReadOnlyError, RedisError, ResponseError

from shared.failure import describe
from shared.health import Component
from shared.metrics import ReceiverMetrics
from shared.presence import Receiver, announce, withdraw
from shared.tasks import end_if_cancelled

PERIOD_S = 2.0
FAREWELL_S = 1.0  # a Redis that is away must not hold up the shutdown

_OUTAGES = (BusyLoadingError, OutOfMemoryError, ReadOnlyError)

log = logging.getLogger(__name__)


class Presence:
    """Tells every few seconds that this receiver is there, and at the end that it leaves."""

    def __init__(self, client: Redis, client_id: str, broker: Component, metrics: ReceiverMetrics) -> None:
        self._client = client
        self._client_id = client_id
        self._broker = broker
        self._metrics = metrics
        self._was_told = False
        self._last = time.monotonic(), 0  # when it said so last, and how many messages it had appended

    async def run(self) -> NoReturn:
        """Until it is cancelled."""
        try:
            while True:
                await self._announce()
                end_if_cancelled()
                await asyncio.sleep(PERIOD_S)
        finally:
            with contextlib.suppress(RedisError, OSError):  # it is forgotten by itself, only later
                async with asyncio.timeout(FAREWELL_S):
                    await withdraw(self._client, self._client_id)

    async def _announce(self) -> None:
        try:
            await announce(self._client, self._receiver())
        except (RedisError, OSError) as error:
            self._tell(error)

    def _receiver(self) -> Receiver:
        appended, now = int(self._value("ingest_appended_messages_total")), time.monotonic()
        (then, before), self._last = self._last, (now, appended)
        return Receiver(
            client_id=self._client_id,
            process=f"{socket.gethostname()}-{os.getpid()}",
            broker=self._broker.is_up,
            waiting=bool(self._value("ingest_backpressure")),
            appended=appended,
            appended_per_s=round((appended - before) / max(now - then, 1e-9), 1),
        )

    def _value(self, name: str) -> float:
        return self._metrics.registry.get_sample_value(name) or 0.0

    def _tell(self, error: Exception) -> None:
        """An outage is told by who needs Redis; that this user may not, or that the key is another's, is told here."""
        if isinstance(error, ResponseError) and not isinstance(error, _OUTAGES) and not self._was_told:
            self._was_told = True
            log.warning("`traksense-ingest status` can't see this receiver: %s", describe(error))
