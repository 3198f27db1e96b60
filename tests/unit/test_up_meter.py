"""The figures that `up` shows, from the metrics of its services."""

from __future__ import annotations

from traksense_ingest.ops.scrape import Samples
from traksense_ingest.ops.up.view import Meter, line


def samples(received: int = 0, points: int = 0, latencies: dict[str, int] | None = None, **gauges: float) -> Samples:
    found = Samples()
    found["ingest_received_messages_total", frozenset()] = received
    found["ingest_points_total", frozenset()] = points
    for bound, count in (latencies or {}).items():
        found["ingest_latency_seconds_bucket", frozenset({("le", bound)})] = count
    for name, value in gauges.items():
        found[name, frozenset()] = value
    return found


def test_rates_are_of_the_last_seconds() -> None:
    meter = Meter()
    meter.read(0, samples(received=1000), samples(points=9000))
    gauges = meter.read(2, samples(received=1100), samples(points=10_000, ingest_queue_size=7, ingest_dlq_rows_total=3))
    assert (gauges.received_rate, gauges.points_rate) == (50, 500)
    assert (gauges.received, gauges.points, gauges.backlog, gauges.dead_letters) == (1100, 10_000, 7, 3)
    assert meter.read(100, samples(received=1100), samples(points=10_000)).received_rate == 0


def test_a_service_that_was_restarted_counts_from_zero() -> None:
    meter = Meter()
    meter.read(0, samples(received=1000), samples())
    after = meter.read(1, samples(received=5), samples())
    assert (after.received_rate, after.received) == (0, 1005)


def test_the_figures_of_several_writers_are_added() -> None:
    meter = Meter()
    first = {"0.01": 10, "+Inf": 10}
    meter.read(0, samples(), samples(points=100), samples(points=1000, latencies=first))
    gauges = meter.read(
        1, samples(), samples(points=150, latencies=first), samples(points=1020, latencies=first, ingest_queue_size=3)
    )
    assert (gauges.points_rate, gauges.points, gauges.backlog) == (70, 1170, 3)
    assert gauges.p50 is not None
    restarted = meter.read(2, samples(), samples(points=5), samples(points=1030))
    assert restarted.points == 1185, "only the first one counts from zero"


def test_what_processes_wait_for() -> None:
    def connected(**components: int) -> Samples:
        found = Samples()
        for name, value in components.items():
            found["ingest_connected", frozenset({("component", name)})] = value
        return found

    meter = Meter()
    receiver, writer = connected(broker=1, redis=0), connected(redis=1, database=1, clock=1, messages=1)
    assert meter.read(0, receiver, writer, writer).waits == ["receiver can't use redis"]
    gauges = meter.read(1, Samples(), writer, connected(redis=0, database=0, clock=1, messages=1))
    assert gauges.waits == ["writer can't use redis", "writer can't use database"]
    assert line(gauges).endswith("; writer can't use redis, writer can't use database (see the logs)")
    assert meter.read(2, connected(broker=1, redis=1), writer, writer).waits == []


def test_latencies_are_those_of_the_last_seconds() -> None:
    meter = Meter()
    meter.read(0, samples(), samples(latencies={"0.01": 100, "1.0": 100, "+Inf": 100}))
    gauges = meter.read(1, samples(), samples(latencies={"0.01": 100, "1.0": 200, "+Inf": 200}))
    assert gauges.p50 is not None
    assert 0.01 < gauges.p50 < 1.0
    assert meter.read(2, samples(), samples()).p50 is None
