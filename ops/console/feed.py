"""The status of the pipeline, collected once a second for all pages, and its last five minutes for the charts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import NamedTuple

from traksense_ingest.ops.status.collector import StatusCollector
from traksense_ingest.ops.status.report import Status
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.runtime.retry import watch

PERIOD_S = 1.0
PATIENCE_S = 2.5  # for each dependency
KEPT = 300  # samples, 5 minutes

log = logging.getLogger(__name__)


class Sample(NamedTuple):
    """One second of the charts. Rates in messages/s; latencies in seconds, the highest of all writers, None while
    nothing is stored."""

    at: datetime
    in_rate: float | None  # None without Redis
    out_rate: float | None
    p50_s: float | None
    p99_s: float | None


class Feed:
    """Collects the status, and keeps the last one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._collected = asyncio.Event()
        self._status: Status | None = None
        self._samples: deque[Sample] = deque(maxlen=KEPT)

    @property
    def samples(self) -> Sequence[Sample]:
        """The oldest first."""
        return self._samples

    async def status(self) -> Status:
        """The last one; waits for the first."""
        await self._collected.wait()
        assert self._status is not None  # noqa: S101  (the event is set with it)
        return self._status

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Collect for as long as the block."""
        # The broker would log each client that connects only to check it; receivers' heartbeats say whether it answers.
        async with StatusCollector(self._settings, PATIENCE_S, skipped=("broker",)) as collector:
            task = asyncio.create_task(watch("the status", lambda: self._collect(collector), PERIOD_S), name="feed")
            try:
                yield
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _collect(self, collector: StatusCollector) -> None:
        self._status = status = await collector.collect(PERIOD_S / 2)
        self._samples.append(_sample(status))
        self._collected.set()


def _sample(status: Status) -> Sample:
    writers = status.writers or ()
    rates = [sum(status.rate(shard, name) for shard in status.shards) for name in ("added", "settled")]
    in_rate, out_rate = rates if status.now is not None else (None, None)
    p50, p99 = (
        max((value for each in writers if (value := getattr(each, name)) is not None), default=None)
        for name in ("p50_s", "p99_s")
    )
    return Sample(status.at, in_rate, out_rate, p50, p99)
