"""What a writer says of its last seconds in its heartbeat."""

from __future__ import annotations

import pytest

from traksense_ingest.shared.metrics import WriterMetrics
from traksense_ingest.writer.watch.recent_figures import RecentFigures


def test_rates_and_latencies_are_those_of_the_last_10_s() -> None:
    metrics, now = WriterMetrics(), 100.0
    metrics.points.inc(1_000_000)
    metrics.latency.observe_all([300.0] * 100)
    figures = RecentFigures(metrics, lambda: now)
    assert figures.read() == (0.0, None, None), "what was counted before"
    for _ in range(20):
        now += 2
        metrics.points.inc(1000)
        metrics.latency.observe_all([0.02] * 99 + [2.0])
        read = figures.read()
    assert read.rows_per_s == 500
    assert read.p50_s == pytest.approx(0.01758, abs=1e-4)
    assert read.p99_s == pytest.approx(0.025)
    metrics.latency.observe_all([2.0] * 100)
    assert (figures.read().p99_s or 0) > 1
    for _ in range(6):
        now += 2
        read = figures.read()
    assert read == (0.0, None, None), "nothing was stored lately"


def test_a_heartbeat_that_is_late_counts_from_the_last_one() -> None:
    metrics, now = WriterMetrics(), 0.0
    figures = RecentFigures(metrics, lambda: now)
    metrics.points.inc(600)
    now = 60.0
    assert figures.read().rows_per_s == 10
    metrics.points.inc(30)
    now = 63.0
    assert figures.read().rows_per_s == pytest.approx(630 / 63)
    now = 73.0
    assert figures.read().rows_per_s == pytest.approx(0.0)
