"""Rows/s and latency of a writer in the last 10 s, for its heartbeat, from the counters of its metrics."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

from traksense_ingest.shared.metrics import WriterMetrics
from traksense_ingest.shared.quantile import quantile

WINDOW_S = 10.0


class Figures(NamedTuple):
    """Rows of ts_measure a second; seconds from the device's timestamp to COMMIT, None while nothing is stored."""

    rows_per_s: float
    p50_s: float | None
    p99_s: float | None


class _Reading(NamedTuple):
    at: float
    rows: float
    latencies: Mapping[float, float]


class RecentFigures:
    """Keeps the readings of the last WINDOW_S seconds, and one that is older."""

    def __init__(self, metrics: WriterMetrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._clock = clock
        self._readings = deque([self._reading()])

    def read(self) -> Figures:
        """What has changed since the oldest reading."""
        self._readings.append(now := self._reading())
        while len(self._readings) > 2 and self._readings[1].at <= now.at - WINDOW_S:
            self._readings.popleft()
        then = self._readings[0]
        rows_per_s = (now.rows - then.rows) / max(now.at - then.at, 1e-9)
        p50_s, p99_s = (_rounded(quantile(then.latencies, now.latencies, q)) for q in (0.5, 0.99))
        return Figures(round(rows_per_s, 1), p50_s, p99_s)

    def _reading(self) -> _Reading:
        rows = self._metrics.registry.get_sample_value("ingest_points_total") or 0.0
        return _Reading(self._clock(), rows, self._metrics.latency.cumulative())


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 5)
