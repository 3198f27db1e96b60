"""Peers: the load of `end-to-end` through this pipeline and through Telegraf, in turn, into the same table on the same
servers.

Telegraf is one process without anything on disk: what it holds when it ends, the broker sends again. The load has no
duplicates, for which it does nothing.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from functools import partial

from bench.child import loaded
from bench.figure import Reading, at_least
from bench.flow import flow, require_rows
from bench.lane import end_session
from bench.measured import Measured, spent
from bench.packets import V311
from bench.process import peak_mib
from bench.scenario import Impossible, Plan, Scenario, Step
from bench.shape import Shape
from bench.stage import Stage, started, still
from bench.telegraf import Telegraf

MESSAGES = 100_000


async def steps(stage: Stage, plan: Plan) -> AsyncIterator[Step]:
    """One: both in turn."""
    if not Telegraf.installed():
        raise Impossible("there is no telegraf on the PATH")
    shape = Shape(plan.scaled(MESSAGES))
    yield partial(_compare, stage, shape)


async def _compare(stage: Stage, shape: Shape) -> Sequence[Reading]:
    await stage.clear()
    ours = await flow(stage, shape)
    await stage.clear()
    telegraf = await _through_telegraf(stage, shape)
    return [
        Reading("ours", ours.rate, "points/s"),
        Reading("Telegraf", telegraf.rate, "points/s"),
        Reading("ours, of Telegraf", ours.rate / telegraf.rate, "×"),
        *_costs("ours", ours),
        *_costs("Telegraf", telegraf),
    ]


def _costs(whose: str, measured: Measured) -> list[Reading]:
    return [
        *(Reading(f"{whose}, CPU of {role}", measured.cost(role), "µs/point") for role in measured.cpu),
        *(Reading(f"{whose}, memory of {name}", peak, "MiB") for name, peak in measured.peak_mib.items()),
    ]


async def _through_telegraf(stage: Stage, shape: Shape) -> Measured:
    """From the first publish until the table has all rows."""
    broker, client_id = stage.servers.brokers[V311], f"bench-telegraf-{time.time_ns()}"
    directory = stage.directory / client_id
    telegraf = Telegraf(directory, broker, stage.servers.database_url, client_id)
    async with started(telegraf), loaded(stage, shape) as publisher:
        before = stage.cpu(telegraf=[telegraf])
        since = time.perf_counter()
        publisher.go()
        ended = await still(stage.log_position, partial(_has_all, stage, shape), telegraf)
        after = stage.cpu(telegraf=[telegraf])
        await publisher.done()
        peaks = {"telegraf": peak_mib(telegraf.pid or 0)}
    end_session(broker, V311, client_id)
    await require_rows(stage, shape.rows)
    return Measured(shape.rows, ended - since, spent(before, after), peaks)


async def _has_all(stage: Stage, shape: Shape) -> bool:
    return await stage.rows() >= shape.rows


PEERS = Scenario("peers", steps, targets={"ours, of Telegraf": at_least(2.5)})
