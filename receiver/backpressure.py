"""A full stream: logged once, not each time that a batch finds no room, and counted."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from traksense_ingest.shared.metrics import ReceiverMetrics

CALM_S = 5.0  # a stream that was full has room again once nobody had to wait for so long

log = logging.getLogger(__name__)


class Backpressure:
    """The log lines and metrics of one stream's waits for room."""

    def __init__(self, stream: str, cap: int, metrics: ReceiverMetrics) -> None:
        self._stream = stream
        self._cap = cap
        self._metrics = metrics
        self._full_since: float | None = None
        self._counted_at = 0.0
        self._calm: asyncio.TimerHandle | None = None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around the wait for room: counts it, and logs the first of several."""
        self.close()
        self._counted_at = time.monotonic()
        try:
            with self._metrics.paused.track_inprogress():
                self._begin()
                yield
        finally:
            self.count()
            self._calm = asyncio.get_running_loop().call_later(CALM_S, self._end)

    def _begin(self) -> None:
        if self._full_since is None:
            self._full_since = time.monotonic()
            about = {"stream": self._stream, "count": self._cap}
            log.warning("%s is full (%d entries): withholding acknowledgements", self._stream, self._cap, extra=about)

    def count(self) -> None:
        """Count the time waited so far, so that a rate shows the wait while it lasts."""
        now = time.monotonic()
        self._metrics.paused_time.inc(now - self._counted_at)
        self._counted_at = now

    def close(self) -> None:
        """Cancel the log line that is due at the end of a full stream."""
        if self._calm is not None:
            self._calm.cancel()

    def _end(self) -> None:
        assert self._full_since is not None  # noqa: S101  (it is due only after a wait)
        full_s = time.monotonic() - self._full_since - CALM_S
        about = {"stream": self._stream, "seconds": round(full_s, 1)}
        log.info("%s has room again, after %.0f s", self._stream, full_s, extra=about)
        self._full_since = None
