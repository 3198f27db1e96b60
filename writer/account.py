"""Everything is counted: what was committed, what was settled, and how long it took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from shared.metrics import WriterMetrics
from writer.decode import Clock, utc_now
from writer.outcome import Decoded, Deferred, Outcome, Settleable
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

    def settled(self, outcomes: Iterable[Outcome]) -> None:
        """A batch has left the stream, but for what was deferred."""
        outcomes = list(outcomes)
        kinds = Counter(outcome.kind for outcome in outcomes if not isinstance(outcome, Deferred))
        for kind, count in kinds.items():
            self._metrics.messages.labels(kind).inc(count)
        self._metrics.deferred.inc(sum(isinstance(outcome, Deferred) for outcome in outcomes))

    def _observe_latency(self, batch: Sequence[Settleable], now: datetime) -> None:
        for outcome in batch:
            if isinstance(outcome, Decoded):
                self._metrics.transit.observe((now - outcome.entry.received_at).total_seconds())
                if outcome.ts:
                    self._metrics.latency.observe((now - outcome.ts).total_seconds())
