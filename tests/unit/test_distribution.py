from __future__ import annotations

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from traksense_ingest.shared.metrics import Distribution

VALUES = [0.0, 0.125, 0.125, 0.5, 0.5625, 1.0, 7.0]


def test_many_at_once_are_the_same_as_one_by_one() -> None:
    """It reaches into prometheus_client: this fails when a new version moves what it needs."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    distribution = Distribution("seconds", "", buckets=(0.125, 0.5, 1), registry=ours)
    histogram = Histogram("seconds", "", buckets=(0.125, 0.5, 1), registry=theirs)
    for values in (VALUES, [], VALUES[2:]):
        distribution.observe_all(values)
        for value in values:
            histogram.observe(value)
    assert generate_latest(ours) == generate_latest(theirs)
