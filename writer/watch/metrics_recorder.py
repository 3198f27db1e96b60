"""Records what was committed, what was settled, and how long it took, in the metrics and the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from traksense_ingest.shared.metrics import WriterMetrics
from traksense_ingest.writer.decode.decode import Clock, utc_now
from traksense_ingest.writer.entry import Entry
from traksense_ingest.writer.outcome import Decoded, Settleable
from traksense_ingest.writer.read.consumer import SettlementKey
from traksense_ingest.writer.store.tables import Changes
from traksense_ingest.writer.watch.failure_log import AwaitedBirthLog, ConflictLog, DeadLetterLog
from traksense_ingest.writer.watch.rejected_share import RejectedShare


class MetricsRecorder:
    """Turns outcomes into metrics. Shared by a process's lanes."""

    def __init__(self, metrics: WriterMetrics, max_rejected_share: float | None = None, clock: Clock = utc_now) -> None:
        self._metrics = metrics
        self._clock = clock
        self.share = RejectedShare(metrics.rejected_share, max_rejected_share)
        self.dead_letters = DeadLetterLog()
        self.conflicts = ConflictLog()
        self.awaiting = AwaitedBirthLog()

    def committed(self, batch: Sequence[Settleable], changes: Changes, took_s: float) -> None:
        """A transaction is durable."""
        metrics = self._metrics
        metrics.batch_size.observe(len(batch))
        metrics.commit_time.observe(took_s)
        metrics.points.inc(changes.points)
        for type_, count in changes.duplicates.items():
            metrics.duplicates.labels(type_).inc(count)
        for mapping, count in changes.same_point.items():
            metrics.conflicts.labels(mapping).inc(count)
        for reason, count in changes.dead_letters.items():
            metrics.errors.labels(reason).inc(count)
            metrics.dead_letters.inc(count)
        self.share.committed(batch)
        self.dead_letters.add(changes.dead_letters, batch)
        if changes.same_point:
            self.conflicts.add(changes.same_point, batch)
        self._observe_latency(batch, self._clock())

    def settled(self, removed: Mapping[SettlementKey, int]) -> None:
        """So many messages of each kind and verdict have left the stream."""
        for key, count in removed.items():
            self._metrics.messages.labels(key.kind).inc(count)
            if key.ignored_for:
                self._metrics.ignored(key.ignored_for, count, key.mapping)

    def deferred(self, count: int) -> None:
        """So many stay pending."""
        self._metrics.deferred.inc(count)

    def _observe_latency(self, batch: Sequence[Settleable], now: datetime) -> None:
        # Without retained and replayed messages: their age is how long the broker or the table has kept them.
        decoded = [outcome for outcome in batch if isinstance(outcome, Decoded) and not _was_kept(outcome.entry)]
        self._metrics.transit.observe_all(_ages([outcome.entry.received_at for outcome in decoded], now))
        self._metrics.latency.observe_all(_ages([outcome.ts for outcome in decoded if outcome.ts], now))


def _was_kept(entry: Entry) -> bool:
    return entry.retained or entry.replayed


def _ages(moments: Sequence[datetime], now: datetime) -> list[float]:
    """In seconds; 0 for what is later than now: a device's clock may be ahead of ours."""
    ages = [(now - moment).total_seconds() for moment in moments]
    return ages if min(ages, default=0.0) >= 0 else [max(0.0, age) for age in ages]
