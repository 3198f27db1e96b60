"""Check 5: how long a message takes from its device to the commit, at a rate at which no queue builds up."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from datetime import UTC, datetime

from traksense_ingest.ops.scrape import Samples
from traksense_ingest.ops.validate import sql
from traksense_ingest.ops.validate.diagnosis import host_usage, missed, read_host
from traksense_ingest.ops.validate.probe import Probe, telemetry
from traksense_ingest.ops.validate.report import Figures, Finding
from traksense_ingest.shared.quantile import quantile

DEVICE, POINT = "check-5", "latency"
MESSAGES = 100
SPREAD_S = 3.0  # one message every 30 ms
POLL_EVERY_S = 0.002
HISTOGRAM = "ingest_latency_seconds"


async def check(probe: Probe) -> Finding:
    """Publish messages with the present time, and query until each is stored."""
    before = await probe.writer.samples()
    started = read_host()
    latencies = await _observe(probe)
    ended = read_host()
    if len(latencies) < MESSAGES:
        missing = f"{len(latencies)} of {MESSAGES} messages committed within {probe.options.timeout:g} s"
        counts: Figures = {"messages": len(latencies), "expected": MESSAGES}
        return await missed(probe, missing, counts, await host_usage(started, ended, is_over=False))
    p50, p99 = percentile(latencies, 50), percentile(latencies, 99)
    histogram_p50 = _histogram_p50(before, await probe.writer.samples())
    target = probe.options.max_p50
    detail = f"p50 {p50:.3f} s, p99 {p99:.3f} s over {MESSAGES} messages (target p50 ≤ {target} s)"
    if histogram_p50 is None:
        detail += "; writer's metrics not reachable"
    else:
        detail += f"; the writer's histogram: p50 {histogram_p50:.3f} s"
    figures: Figures = {
        "messages": MESSAGES,
        "p50_s": p50,
        "p99_s": p99,
        "target_p50_s": target,
        "histogram_p50_s": histogram_p50,
    }
    if p50 > target:
        return await missed(probe, detail, figures, await host_usage(started, ended, is_over=True))
    return Finding(True, detail, figures)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` percent of the values don't exceed (nearest rank)."""
    return sorted(values)[max(math.ceil(len(values) * percent / 100) - 1, 0)]


def _histogram_p50(before: Samples | None, after: Samples | None) -> float | None:
    """The median by the writer's own histogram, which includes the messages of other clients."""
    if before is None or after is None:
        return None
    return quantile(before.buckets(HISTOGRAM), after.buckets(HISTOGRAM), 0.5)


async def _observe(probe: Probe) -> list[float]:
    """Seconds from each message's timestamp to its being seen in the database; too few after the time-out."""
    in_flight: dict[datetime, float] = {}
    async with asyncio.TaskGroup() as tasks:
        publishing = tasks.create_task(_publish_evenly(probe, in_flight))
        latencies = await _watch(probe, in_flight, publishing)
        publishing.cancel()
    return latencies


async def _publish_evenly(probe: Probe, in_flight: dict[datetime, float]) -> None:
    clock = asyncio.get_running_loop().time
    start = clock()
    for number in range(MESSAGES):
        await asyncio.sleep(start + number * SPREAD_S / MESSAGES - clock())
        ts = datetime.now(UTC)
        in_flight[ts] = clock()
        await probe.publish(telemetry(DEVICE, ts, [(POINT, "num", number)]))


async def _watch(probe: Probe, in_flight: dict[datetime, float], publishing: asyncio.Task[None]) -> list[float]:
    clock = asyncio.get_running_loop().time
    deadline = clock() + SPREAD_S + probe.options.timeout
    latencies: list[float] = []
    while (in_flight or not publishing.done()) and clock() < deadline:
        if in_flight:
            oldest = next(iter(in_flight))
            rows = await probe.database.fetch(sql.ARRIVED_SINCE, probe.tenant, DEVICE, POINT, oldest)
            seen = clock()
            latencies += [seen - in_flight.pop(row["ts"]) for row in rows if row["ts"] in in_flight]
        await asyncio.sleep(POLL_EVERY_S)
    return latencies
