"""Everything is counted: what was committed, what was settled, and how long it took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from shared.metrics import WriterMetrics
from writer.decode import Clock, utc_now
from writer.group import Class
from writer.outcome import Decoded, Settleable
from writer.store import Stored


class Account:
    """Puts outcomes into the metrics."""

    def __init__(self, metrics: WriterMetrics, clock: Clock = utc_now) -> None:
        self._metrics = metrics
        self._clock = clock

    def committed(self, batch: Sequence[Settleable], stored: Stored, took_s: float) -> None:
        """A transaction is durable."""
        metrics = self._metrics
        metrics.batch_size.observe(len(batch))
        metrics.commit_time.observe(took_s)
        metrics.points.inc(stored.points)
        for type_, count in stored.duplicates.items():
            metrics.duplicates.labels(type_).inc(count)
        for reason, count in stored.dead_letters.items():
            metrics.errors.labels(reason).inc(count)
            metrics.dead_letters.inc(count)
        self._observe_latency(batch, self._clock())

    def settled(self, removed: Mapping[Class, int]) -> None:
        """So many messages of each class have left the stream."""
        for (kind, _), count in removed.items():
            self._metrics.messages.labels(kind).inc(count)

    def deferred(self, count: int) -> None:
        """So many stay pending."""
        self._metrics.deferred.inc(count)

    def _observe_latency(self, batch: Sequence[Settleable], now: datetime) -> None:
        decoded = [outcome for outcome in batch if isinstance(outcome, Decoded)]
        self._metrics.transit.observe_all([_seconds(outcome.entry.received_at, now) for outcome in decoded])
        self._metrics.latency.observe_all([_seconds(outcome.ts, now) for outcome in decoded if outcome.ts])


def _seconds(since: datetime, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds())  # a device's clock may be ahead of ours
