"""Asking the services' real metrics endpoint."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from traksense_ingest.ops.scrape import Service
from traksense_ingest.shared.metrics import WriterMetrics
from traksense_ingest.shared.quantile import quantile
from traksense_ingest.shared.runtime.health import Health
from traksense_ingest.shared.runtime.health_server import HealthServer

NOBODY = "http://127.0.0.1:1/metrics"


@pytest.fixture
def metrics() -> WriterMetrics:
    return WriterMetrics()


@pytest.fixture
def health(metrics: WriterMetrics) -> Health:
    return Health(metrics, {"redis": "redis://somewhere", "database": "postgresql://somewhere"})


@pytest.fixture
def url(metrics: WriterMetrics, health: Health) -> Iterator[str]:
    with HealthServer("127.0.0.1", 0, metrics, health) as server:
        yield f"http://127.0.0.1:{server.port}/metrics"


async def test_samples_are_summed_over_processes(url: str, metrics: WriterMetrics) -> None:
    metrics.errors.labels("parse_error").inc(3)
    samples = await Service("writer", (url, url)).samples()
    assert samples is not None
    assert samples.value("ingest_errors_total", reason="parse_error") == 6
    assert samples.value("ingest_errors_total", reason="no such reason") == 0


async def test_samples_are_unknown_unless_all_answer(url: str) -> None:
    assert await Service("writer", (url, NOBODY)).samples() is None
    assert await Service("writer", (url.replace("metrics", "elsewhere"),)).samples() is None


async def test_readiness_names_what_is_down(url: str, health: Health) -> None:
    health.components["redis"].up()
    assert await Service("writer", (url,)).readiness() == "writer not ready: database down"
    health.components["database"].up()
    assert await Service("writer", (url,)).readiness() == "writer ready"


async def test_nobody_there_is_not_reachable() -> None:
    assert await Service("writer", (NOBODY,)).readiness() == f"writer's metrics not reachable ({NOBODY})"


async def test_the_quantile_is_of_what_was_gained_in_between(url: str, metrics: WriterMetrics) -> None:
    service = Service("writer", (url,))
    metrics.latency.observe(50)
    before = await service.samples()
    for _ in range(10):
        metrics.latency.observe(0.02)
    after = await service.samples()
    assert before is not None
    assert after is not None
    name = "ingest_latency_seconds"
    assert quantile(before.buckets(name), after.buckets(name), 0.5) == pytest.approx((0.01 + 0.025) / 2)


def test_the_quantile_of_nothing_is_unknown() -> None:
    assert quantile({}, {}, 0.5) is None
    assert quantile({1.0: 3, float("inf"): 3}, {1.0: 3, float("inf"): 3}, 0.5) is None


def test_a_quantile_beyond_the_last_bucket_is_that_bucket() -> None:
    assert quantile({}, {1.0: 0, float("inf"): 3}, 0.5) == 1.0
