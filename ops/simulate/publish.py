"""The fleet's messages over real connections, each at its time; a report when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

from ops.simulate.fleet import Plan, fleet
from ops.simulate.lane import Lane
from ops.simulate.notice import Notice
from ops.simulate.report import Report
from ops.simulate.tally import Tally
from shared.config import Settings
from shared.service import unless_stopped
from shared.tasks import raise_sole_error

OVERTIME_S = 1.0  # how long beyond its duration a run may take that is behind its schedule
CLOSE_S = 1.0  # how long disconnecting may take
GRACE_S = 5.0  # how long the last PUBACKs may take, when the run has to end


async def publish(
    settings: Settings,
    plan: Plan,
    connections: int,
    tally: Tally,
    stop: asyncio.Event,
    say: Callable[[str], None],
    starts_now: bool = False,
) -> Report:
    """Publish what is planned, or until `stop`; counts in the tally what got its PUBACK.

    The plan begins when every connection is there, and with `starts_now` its timestamps do too. Raises
    Misconfigured when the broker refuses us or its certificate isn't to be trusted.
    """
    started = datetime.now(UTC)
    clock = asyncio.get_running_loop().time
    begun = clock()
    async with _lanes(settings, connections, tally, Notice(settings, say)) as lanes:
        if await unless_stopped(stop, _connected(lanes)):
            started, begun = datetime.now(UTC), clock()
            plan = replace(plan, start=started) if starts_now else plan
            await unless_stopped(stop, _feed(plan, lanes))
            await _drain(plan, lanes, stop)
    return Report(plan, tally, started, clock() - begun)


def connections_for(rate: float, devices: int) -> int:
    """How many connections a fleet takes by default: 1 to 4, one for each 500 messages/s."""
    return min(4, max(1, math.ceil(rate / 500)), devices)


@asynccontextmanager
async def _lanes(settings: Settings, number: int, tally: Tally, notice: Notice) -> AsyncIterator[Sequence[Lane]]:
    name = f"simulate-{secrets.token_hex(4)}"  # with the number no more than the 23 characters of MQTT 3.1
    lanes = [Lane(settings, f"{name}-{place}", tally, notice) for place in range(number)]
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(lane.run(), name=f"lane {place}") for place, lane in enumerate(lanes)]
            yield lanes
            for lane in lanes:
                lane.close()
            _, unable = await asyncio.wait(running, timeout=CLOSE_S)
            for task in unable:
                task.cancel()
    except BaseExceptionGroup as group:
        raise_sole_error(group)
    tally.unconfirmed = sum(lane.unconfirmed for lane in lanes)


async def _connected(lanes: Sequence[Lane]) -> bool:
    return all([await lane.connected.wait() for lane in lanes])


async def _feed(plan: Plan, lanes: Sequence[Lane]) -> None:
    clock = asyncio.get_running_loop().time
    begun = clock()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(None if plan.duration is None else plan.duration + OVERTIME_S):
            for place, message in enumerate(fleet(plan)):
                early = begun + plan.due(place) - clock()
                if early > 0:
                    await asyncio.sleep(early)
                await lanes[message.device % len(lanes)].put(message)


async def _drain(plan: Plan, lanes: Sequence[Lane], stop: asyncio.Event) -> None:
    """Wait for the last PUBACKs: as long as it takes where only a number of messages was asked for."""
    if plan.duration is None and await unless_stopped(stop, _idle(lanes)):
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GRACE_S):
            await _idle(lanes)


async def _idle(lanes: Sequence[Lane]) -> bool:
    return all([await lane.idle.wait() for lane in lanes])
