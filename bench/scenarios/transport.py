"""Transport: what the way from a writer to PostgreSQL costs, when both are on the same machine.

A stream is drained over TLS, over TCP without it and by a Unix socket, in turn, into the same table.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial

from bench.drain import drain
from bench.figure import Reading
from bench.measured import Measured
from bench.scenario import Plan, Scenario, Step
from bench.shape import Shape
from bench.stage import Stage
from bench.transports import SOCKET, TLS, Transports, with_transports

MESSAGES = 50_000


async def steps(stage: Stage, plan: Plan) -> AsyncIterator[Step]:
    """One: all of them in turn."""
    shape = Shape(plan.scaled(MESSAGES))
    async with (
        with_transports(stage.servers, stage.directory) as transports,
        Stage.opened(transports.servers, stage.directory) as own,
    ):
        yield partial(_compare, own, transports, shape)


async def _compare(stage: Stage, transports: Transports, shape: Shape) -> Sequence[Reading]:
    drained = {}
    for name, url in transports.urls.items():
        await stage.clear()
        await stage.fill(shape)
        drained[name] = await drain(stage, shape, DATABASE_URL=url)
    return [
        *(Reading(name, each.rate, "points/s") for name, each in drained.items()),
        *(Reading(f"{name}, CPU of writer and postgres", _cost(each), "µs/point") for name, each in drained.items()),
        Reading("CPU with TLS, of a Unix socket's", _cost(drained[TLS]) / _cost(drained[SOCKET]), "×"),
    ]


def _cost(measured: Measured) -> float:
    return measured.cost("writer") + measured.cost("postgres")


TRANSPORT = Scenario("transport", steps)
