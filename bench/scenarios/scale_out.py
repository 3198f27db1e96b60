"""Scale-out: what a point costs when the nodes of a Redis Cluster share the streams, and several services the work.

The same six streams are in one Redis server, the reference, and in clusters of 1, 2 and 3 masters. Each round drains
them with 1 to 6 writers, and fills them through 1 or 2 receivers. A machine with few cores can't show how the rate
grows with the number of nodes, so what is compared is CPU: as long as a point costs the same, more cores mean more
points/s. Servers have one half of the cores, services the other, so that both find the same conditions in each case.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
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
    Redis("1 node with a replica", 1, replicas=1),
)


async def steps(stage: Stage, plan: Plan) -> AsyncIterator[Step]:
    """Draining, then receiving: each on all kinds of Redis in turn."""
    if "redis" not in stage.servers.pids:
        raise Impossible("it needs the CPU of the Redis that it compares with, and this one was given by URL")
    async with AsyncExitStack() as lifetimes:
        stages = [(kind, await lifetimes.enter_async_context(_stage_of(kind, stage))) for kind in KINDS]
        yield partial(_drained, stages, Shape(plan.scaled(MESSAGES, least=10 * SHARDS)))
        yield partial(_received, stages, Shape(plan.scaled(MESSAGES, least=10 * SHARDS), tenants=TENANTS))


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
            found[kind, writers] = await drain(stage, shape, writers, SHARDS)
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
    name, nodes = _name(case, service), measured.cost_of_nodes
    yield Reading(f"{name}: {verb}", measured.rate, "points/s")
    yield Reading(f"{name}: CPU of {service}s", measured.cost(service), "µs/point")
    yield Reading(f"{name}: CPU of Redis", sum(nodes), "µs/point")
    if len(nodes) > 1:
        yield Reading(f"{name}: CPU of the busiest node", max(nodes), "µs/point")
    if "postgres" in measured.cpu:
        yield Reading(f"{name}: CPU of PostgreSQL", measured.cost("postgres"), "µs/point")


def _ratios(found: Mapping[Case, Measured], service: str) -> Iterator[tuple[str, float]]:
    """What several nodes cost in comparison with one server, and several services in comparison with one."""
    for (kind, count), measured in found.items():
        name, nodes = _name((kind, count), service), measured.cost_of_nodes
        if kind.masters > 1:
            yield f"{name}: busiest node, of an equal share", max(nodes) * len(nodes) / sum(nodes)
        if kind != SERVER and (server := found.get((SERVER, count))):
            yield f"{name}: Redis, of 1 server's", sum(nodes) / sum(server.cost_of_nodes)
            yield f"{name}: {service}s, of 1 server's", measured.cost(service) / server.cost(service)
        if count > 1 and (one := found.get((kind, 1))):
            yield f"{name}: {service}s, of 1 {service}'s", measured.cost(service) / one.cost(service)
        if (kind, count) == (THREE, max(THREE.writers)):
            one = found[SERVER, 1]
            yield f"{name}: all, of 1 server's with 1 {service}", measured.cost_of_all / one.cost_of_all


def _name(case: Case, service: str) -> str:
    kind, count = case
    return f"{kind.name}, {count} {service}{'s' if count > 1 else ''}"


SCALE_OUT = Scenario(
    "scale-out",
    steps,
    targets={
        f"{name}: {of}": at_most(MOST)
        for name, *ratios in (
            ("1 node, 1 writer", "Redis, of 1 server's", "writers, of 1 server's"),
            ("2 nodes, 2 writers", "Redis, of 1 server's", "writers, of 1 server's", "busiest node, of an equal share"),
            (
                "3 nodes, 6 writers",
                "Redis, of 1 server's",
                "writers, of 1 server's",
                "writers, of 1 writer's",
                "busiest node, of an equal share",
                "all, of 1 server's with 1 writer",
            ),
            ("1 server, 6 writers", "writers, of 1 writer's"),
            ("3 nodes, 2 receivers", "Redis, of 1 server's", "receivers, of 1 server's", "receivers, of 1 receiver's"),
        )
        for of in ratios
    },
)
