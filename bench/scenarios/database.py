"""Database: what the way to PostgreSQL costs on the same machine, and what some of its settings change.

A stream is drained into the same table in turn: over TLS, over TCP without it, by a Unix socket; and by the socket with
other settings. The table has as many rows of these devices already, and there was a checkpoint just before: so the log
has each page of the index once as a whole, as it has after every checkpoint.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial

from bench.drain import drain
from bench.figure import Reading
from bench.measured import Measured
from bench.scenario import Plan, Scenario, Step
from bench.shape import START, Shape
from bench.stage import Stage
from bench.transports import SOCKET, TLS, Transports, with_transports

MESSAGES = 50_000
SETTINGS: Mapping[str, Mapping[str, str]] = {  # in addition to the defaults
    "wal_compression": {"wal_compression": "on"},
    "commit_delay of 1 ms": {"commit_delay": "1000", "commit_siblings": "1"},
    "synchronous_commit off": {"synchronous_commit": "off"},
}


async def steps(stage: Stage, plan: Plan) -> AsyncIterator[Step]:
    """One: all of them in turn."""
    shape = Shape(plan.scaled(MESSAGES), start=START + timedelta(hours=1))
    async with (
        with_transports(stage.servers, stage.directory) as transports,
        Stage.opened(transports.servers, stage.directory) as own,
    ):
        yield partial(_compare, own, transports, shape)


async def _compare(stage: Stage, transports: Transports, shape: Shape) -> Sequence[Reading]:
    drained, logged = {}, {}
    for name, url in transports.urls.items():
        drained[name], logged[name] = await _drained(stage, shape, url)
    for name, settings in SETTINGS.items():
        async with _set(stage, settings):
            drained[name], logged[name] = await _drained(stage, shape, transports.urls[SOCKET])
    costs = {name: each.cost("writer") + each.cost("postgres") for name, each in drained.items()}
    return [
        *(Reading(name, each.rate, "points/s") for name, each in drained.items()),
        *(Reading(f"{name}, CPU of writer and postgres", cost, "µs/point") for name, cost in costs.items()),
        *(Reading(f"{name}, log", logged[name], "bytes/point") for name in (SOCKET, *SETTINGS)),
        *(Reading("CPU with TLS, of a Unix socket's", costs[TLS] / costs[SOCKET], "×") for _ in costs.keys() & {TLS}),
    ]


async def _drained(stage: Stage, shape: Shape, url: str) -> tuple[Measured, float]:
    """And how many bytes of write-ahead log a point took."""
    await stage.clear()
    await stage.copy(replace(shape, start=START))
    await stage.settle_down()
    await stage.fill(shape)
    before = await stage.log_position()
    drained = await drain(stage, shape, DATABASE_URL=url)
    return drained, (await stage.log_position() - before) / shape.rows


@asynccontextmanager
async def _set(stage: Stage, settings: Mapping[str, str]) -> AsyncIterator[None]:
    """For sessions that begin meanwhile, and those that go on."""
    for name, value in settings.items():
        await stage.database.execute(f"ALTER SYSTEM SET {name} = {value}")
    await stage.database.execute("SELECT pg_reload_conf()")
    yield
    for name in settings:
        await stage.database.execute(f"ALTER SYSTEM RESET {name}")
    await stage.database.execute("SELECT pg_reload_conf()")


DATABASE = Scenario("database", steps)
