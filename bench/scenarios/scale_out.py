"""Scale-out: what a point costs when the nodes of a Redis Cluster share the streams, and several services the work.

The same six streams are in one Redis server, the reference, and in clusters of 1, 2 and 3 masters. Each round drains
them with 1 to 6 writers, and fills them through 1 or 2 receivers. A machine with few cores can't show how the rate
grows with the number of nodes, so what is compared is CPU: as long as a point costs the same, more cores mean more
points/s. Servers have one half of the cores, services the other, so that both find the same conditions in each case.

Writers that share a core are slower than on one of their own, so what they do from time to time would weigh more, the
more there are. What they take when idle is therefore measured apart, and not part of a point's cost; and no lease of a
batch, which takes long here, is renewed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

from bench.cluster import with_cluster
from bench.drain import drain
from bench.figure import Reading, at_most
from bench.measured import Measured
from bench.receive import receive
from bench.scenario import Impossible, Plan, Scenario, Step
from bench.shape import Shape
from bench.stage import Stage

MESSAGES = 30_000
SHARDS = 6  # 1, 2 and 3 masters can have the same number of them
TENANTS = 2  # each of two receivers has one
DEVICES = 312  # few, which each writer will soon know; their shards have about as many each
IDLE_S = 1.0
NO_RENEWAL_MS = 600_000  # a lease is renewed after a quarter of this
MOST = 1.15  # times the reference


@dataclass(frozen=True)
class Redis:
    """Where the streams are, and how many services work on them, in turn."""

    name: str
    masters: int = 0  # of a cluster; 0: one server
    replicas: int = 0  # of each master; a PUBACK waits for them
    writers: tuple[int, ...] = (1,)
    receivers: tuple[int, ...] = (1,)


Case = tuple[Redis, int]  # and how many services

SERVER = Redis("1 server", writers=(1, 2, 6), receivers=(1, 2))
THREE = Redis("3 nodes", 3, writers=(1, 3, 6), receivers=(1, 2))
KINDS = (
    SERVER,
    Redis("1 node", 1),
    Redis("2 nodes", 2, writers=(2,)),
    THREE,
    Redis("replicated", 1, replicas=1),
)


async def steps(stage: Stage, plan: Plan) -> AsyncIterator[Step]:
    """Draining, then receiving: each on all kinds of Redis in turn."""
    if "redis" not in stage.servers.pids:
        raise Impossible("it needs the CPU of the Redis that it compares with, and this one was given by URL")
    async with AsyncExitStack() as lifetimes:
        stages = [(kind, await lifetimes.enter_async_context(_stage_of(kind, stage))) for kind in KINDS]
        shape = Shape(plan.scaled(MESSAGES, least=10 * SHARDS), devices=DEVICES)
        yield partial(_drained, stages, shape)
        yield partial(_received, stages, replace(shape, tenants=TENANTS))


@asynccontextmanager
async def _stage_of(kind: Redis, stage: Stage) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as lifetimes:
        directory, servers = stage.directory / kind.name.replace(" ", "-"), stage.servers
        directory.mkdir()
        if kind.masters:
            cluster = with_cluster(servers, directory, SHARDS, kind.masters, kind.replicas)
            servers = await lifetimes.enter_async_context(cluster)
        yield await lifetimes.enter_async_context(Stage.opened(servers, directory, is_pinned=True))


async def _drained(stages: Sequence[tuple[Redis, Stage]], shape: Shape) -> Sequence[Reading]:
    found: dict[Case, Measured] = {}
    for kind, stage in stages:
        for writers in kind.writers:
            await stage.clear()
            await stage.fill(shape, SHARDS)
            found[kind, writers] = await drain(
                stage, shape, writers, SHARDS, idle_s=IDLE_S, INGEST_CLAIM_IDLE_MS=NO_RENEWAL_MS
            )
    return readings_of(found, "writer", "drained")


async def _received(stages: Sequence[tuple[Redis, Stage]], shape: Shape) -> Sequence[Reading]:
    found: dict[Case, Measured] = {}
    for kind, stage in stages:
        for receivers in kind.receivers:
            await stage.clear()
            found[kind, receivers] = await receive(stage, shape, receivers, SHARDS, INGEST_REPLICAS=kind.replicas)
        await stage.clear_streams()
    return readings_of(found, "receiver", "received")


def readings_of(found: Mapping[Case, Measured], service: str, verb: str) -> list[Reading]:
    """What each case costs, and its ratios."""
    absolute = [reading for case, measured in found.items() for reading in _costs(case, measured, service, verb)]
    return [*absolute, *(Reading(name, value, "×") for name, value in _ratios(found, service))]


def _costs(case: Case, measured: Measured, service: str, verb: str) -> Iterator[Reading]:
    name = _name(case, service)
    yield Reading(f"{name}: {verb}", measured.rate, "points/s")
    yield Reading(f"{name}: CPU of {service}s", measured.busy_cost(service), "µs/point")
    yield Reading(f"{name}: CPU of Redis", sum(measured.nodes), "µs/point")
    if len(measured.nodes) > 1:
        yield Reading(f"{name}: CPU of busiest node", max(measured.nodes), "µs/point")
    if "postgres" in measured.cpu:
        yield Reading(f"{name}: CPU of PostgreSQL", measured.busy_cost("postgres"), "µs/point")
    for part, role in ((f"{service}s", service), ("Redis", "redis"), ("PostgreSQL", "postgres")):
        idle = sum(seconds for each, seconds in measured.idle.items() if each.startswith(role))
        if idle and case[0] == SERVER:
            yield Reading(f"{name}: {part} when idle", idle * 1000, "ms/s")


def _ratios(found: Mapping[Case, Measured], service: str) -> Iterator[tuple[str, float]]:
    """What several nodes cost in comparison with one server, and several services in comparison with one."""
    for (kind, count), measured in found.items():
        name, redis = _name((kind, count), service), sum(measured.nodes)
        if kind.masters > 1:
            yield f"{name}: busiest node, relative to an equal share", max(measured.nodes) * kind.masters / redis
        if kind != SERVER and (server := found.get((SERVER, count))):
            yield f"{name}: Redis, relative to 1 server", redis / sum(server.nodes)
            yield f"{name}: {service}s, relative to 1 server", measured.busy_cost(service) / server.busy_cost(service)
        if count > 1 and (one := found.get((kind, 1))):
            yield f"{name}: {service}s, relative to 1 {service}", measured.busy_cost(service) / one.busy_cost(service)


def _name(case: Case, service: str) -> str:
    kind, count = case
    return f"{kind.name}, {count} {service}{'s' if count > 1 else ''}"


SCALE_OUT = Scenario(
    "scale-out",
    steps,
    targets={
        f"{case}: {ratio}": at_most(MOST)
        for case, *ratios in (
            ("1 node, 1 writer", "Redis, relative to 1 server", "writers, relative to 1 server"),
            (
                "2 nodes, 2 writers",
                "Redis, relative to 1 server",
                "writers, relative to 1 server",
                "busiest node, relative to an equal share",
            ),
            (
                "3 nodes, 6 writers",
                "Redis, relative to 1 server",
                "writers, relative to 1 server",
                "busiest node, relative to an equal share",
            ),
            ("1 server, 6 writers", "writers, relative to 1 writer"),
            ("3 nodes, 1 receiver", "Redis, relative to 1 server", "receivers, relative to 1 server"),
            ("3 nodes, 2 receivers", "receivers, relative to 1 receiver"),
        )
        for ratio in ratios
    },
)
