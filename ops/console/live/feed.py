"""The status of the pipeline, collected once a second for all pages, and its last five minutes for the charts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import NamedTuple

from traksense_ingest.ops.status.collector import StatusCollector
from traksense_ingest.ops.status.report import Status
from traksense_ingest.ops.status.verdict import BAD, Verdict, verdict
from traksense_ingest.ops.terminal import duration
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.errors import IngestError
from traksense_ingest.shared.runtime.retry import watch
from traksense_ingest.shared.runtime.tasks import in_background

PERIOD_S = 1.0
SAMPLE_S = 0.2  # of the first rates, for which the first page waits
PATIENCE_S = 2.5  # for each dependency
OLD_S = 10.0  # a status of that age says nothing of now: collecting one takes 6 s where everything hangs
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

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._collected = asyncio.Event()
        self._status: Status | None = None
        self._at = 0.0  # when it was collected
        self._samples: deque[Sample] = deque(maxlen=KEPT)

    @property
    def samples(self) -> Sequence[Sample]:
        """The oldest first."""
        return self._samples

    async def status(self) -> Status:
        """The last one; waits for the first. Raises IngestError if that does not come."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._collected.wait(), OLD_S)
        if self._status is None:
            raise IngestError("the status can't be collected; the console's log says why")
        return self._status

    async def verdict(self) -> Verdict:
        """Of the last status, if it is not old."""
        try:
            status = await self.status()
        except IngestError as error:
            return Verdict(BAD, f"Not known: {error}.")
        age_s = self._clock() - self._at
        if age_s > OLD_S:
            return Verdict(BAD, f"Not known: the last status is {duration(age_s)} old; the console's log says why.")
        return verdict(status)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Collect for as long as the block."""
        # The broker would log each client that connects only to check it; receivers' heartbeats say whether it answers.
        async with (
            StatusCollector(self._settings, PATIENCE_S, skipped=("broker",)) as collector,
            in_background(watch("the status", partial(self._collect, collector), PERIOD_S), "feed"),
        ):
            yield

    async def _collect(self, collector: StatusCollector) -> None:
        self._status = status = await collector.collect(SAMPLE_S)
        self._at = self._clock()
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
