"""Check 4: how fast a burst of points is committed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta

from traksense_ingest.ops.validate.diagnosis import host_usage, missed, read_host
from traksense_ingest.ops.validate.probe import Message, Probe, telemetry
from traksense_ingest.ops.validate.report import Finding

DEVICE = "check-4"
POINTS_A_MESSAGE = 10


async def check(probe: Probe) -> Finding:
    """Publish the burst and measure the time from its first message to its last row."""
    options = probe.options
    messages = list(burst(options.points, probe.started))
    before = read_host()
    stored, took = await _timed(probe, messages)
    after = read_host()
    figures: dict[str, object] = {"points": stored, "messages": len(messages), "seconds": took}
    if stored < options.points:
        missing = f"{stored} of {options.points} points committed within {options.timeout:g} s"
        return await missed(probe, missing, figures, await host_usage(before, after, is_over=False))
    rate = stored / took
    figures |= {"points_per_second": rate, "target_points_per_second": options.min_rate}
    detail = f"{stored} points in {took:.2f} s ≈ {rate:.0f} points/s (target ≥ {options.min_rate:.0f})"
    if rate < options.min_rate:
        return await missed(probe, detail, figures, await host_usage(before, after, is_over=True))
    return Finding(True, detail, figures)


def burst(points: int, start: datetime) -> Iterator[Message]:
    """This many points in messages of ten; every point has a key of its own."""
    for first in range(0, points, POINTS_A_MESSAGE):
        numbers = range(first, min(first + POINTS_A_MESSAGE, points))
        values = [(f"point-{number % POINTS_A_MESSAGE}", "num", number / 8) for number in numbers]
        yield telemetry(DEVICE, start + timedelta(microseconds=first // POINTS_A_MESSAGE), values)


async def _timed(probe: Probe, messages: list[Message]) -> tuple[int, float]:
    """Rows committed, and seconds until the last of them was."""
    clock = asyncio.get_running_loop().time
    started = clock()
    async with asyncio.TaskGroup() as tasks:
        publishing = tasks.create_task(probe.publish_all(messages))
        enough = probe.options.points
        stored = await probe.poll_until(lambda: probe.count_rows(DEVICE), lambda count: count >= enough)
        took = clock() - started
        if stored < enough:
            publishing.cancel()
    return stored, took
