"""Check 5: how long a message takes from its device to the commit, at a rate that queues nothing."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from datetime import UTC, datetime

from ops.scrape import Samples, quantile
from ops.validate import sql
from ops.validate.diagnosis import diagnosis
from ops.validate.message import telemetry
from ops.validate.probe import Probe
from ops.validate.report import Figures, Finding

DEVICE, POINT = "check-5", "latency"
MESSAGES = 100
SPREAD_S = 3.0  # one message every 30 ms
LOOK_EVERY_S = 0.002
HISTOGRAM = "ingest_latency_seconds"


async def check(probe: Probe) -> Finding:
    """Publish messages that are stamped with now, and look for each until it is there."""
    before = await probe.writer.samples()
    latencies = await _observe(probe)
    if len(latencies) < MESSAGES:
        missing = f"{len(latencies)} of {MESSAGES} messages committed within {probe.options.timeout:g} s"
        return Finding(False, missing + await diagnosis(probe), {"messages": len(latencies), "expected": MESSAGES})
    p50, p99 = percentile(latencies, 50), percentile(latencies, 99)
    told = _told(before, await probe.writer.samples())
    target = probe.options.max_p50
    detail = f"p50 {p50:.3f} s, p99 {p99:.3f} s over {MESSAGES} messages (target p50 ≤ {target} s)"
    detail += "; writer's metrics not reachable" if told is None else f"; the writer's histogram: p50 {told:.3f} s"
    figures: Figures = {
        "messages": MESSAGES,
        "p50_s": p50,
        "p99_s": p99,
        "target_p50_s": target,
        "histogram_p50_s": told,
    }
    passed = p50 <= target
    return Finding(passed, detail if passed else detail + await diagnosis(probe), figures)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least so many percent of the values don't exceed (nearest rank)."""
    return sorted(values)[max(math.ceil(len(values) * percent / 100) - 1, 0)]


def _told(before: Samples | None, after: Samples | None) -> float | None:
    """The median by the writer's own histogram, which is of everybody's messages in the meantime."""
    if before is None or after is None:
        return None
    return quantile(before.buckets(HISTOGRAM), after.buckets(HISTOGRAM), 0.5)


async def _observe(probe: Probe) -> list[float]:
    """Seconds from each message's timestamp to its being seen in the database; too few after the time-out."""
    under_way: dict[datetime, float] = {}
    async with asyncio.TaskGroup() as tasks:
        publishing = tasks.create_task(_publish_evenly(probe, under_way))
        latencies = await _watch(probe, under_way, publishing)
        publishing.cancel()
    return latencies


async def _publish_evenly(probe: Probe, under_way: dict[datetime, float]) -> None:
    clock = asyncio.get_running_loop().time
    start = clock()
    for number in range(MESSAGES):
        await asyncio.sleep(start + number * SPREAD_S / MESSAGES - clock())
        ts = datetime.now(UTC)
        under_way[ts] = clock()
        await probe.publish(telemetry(DEVICE, ts, [(POINT, "num", number)]))


async def _watch(probe: Probe, under_way: dict[datetime, float], publishing: asyncio.Task[None]) -> list[float]:
    clock = asyncio.get_running_loop().time
    deadline = clock() + SPREAD_S + probe.options.timeout
    latencies: list[float] = []
    while (under_way or not publishing.done()) and clock() < deadline:
        if under_way:
            oldest = next(iter(under_way))
            rows = await probe.database.fetch(sql.ARRIVED_SINCE, probe.tenant, DEVICE, POINT, oldest)
            seen = clock()
            latencies += [seen - under_way.pop(row["ts"]) for row in rows if row["ts"] in under_way]
        await asyncio.sleep(LOOK_EVERY_S)
    return latencies
