"""How a fault of one of several Redis nodes is inflicted."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.exceptions import ResponseError

from tests.chaos.inflict import Inflict
from tests.chaos.pipeline import Pipeline
from tests.chaos.streams import OfCluster, OfSentinels, SeveralServers
from tests.support.redis_cluster import Watched, ask
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import Server


def _several(pipeline: Pipeline) -> tuple[SeveralServers, int]:
    """The nodes, and one of the shards."""
    assert isinstance(pipeline.streams, SeveralServers)
    return pipeline.streams, pipeline.random.randrange(pipeline.streams.shards)


@asynccontextmanager
async def _killed(server: Server) -> AsyncIterator[None]:
    await asyncio.to_thread(server.kill)
    yield
    await asyncio.to_thread(server.start)


@asynccontextmanager
async def master_killed(pipeline: Pipeline) -> AsyncIterator[None]:
    """Its replica takes over; when it is back, it is the replica's replica."""
    streams, shard = _several(pipeline)
    master = await streams.master_of(shard)
    async with _killed(master):
        await streams.is_promoted(shard, master)
        yield


@asynccontextmanager
async def replica_killed(pipeline: Pipeline) -> AsyncIterator[None]:
    """Its master has no other."""
    streams, shard = _several(pipeline)
    async with _killed(await streams.replica_of(shard)):
        yield


@asynccontextmanager
async def master_frozen(pipeline: Pipeline) -> AsyncIterator[None]:
    """SIGSTOP; when it wakes up, its replica has taken over, and it doesn't know."""
    streams, shard = _several(pipeline)
    master = await streams.master_of(shard)
    assert master.pid
    os.kill(master.pid, signal.SIGSTOP)
    await streams.is_promoted(shard, master)
    yield
    os.kill(master.pid, signal.SIGCONT)


@asynccontextmanager
async def master_separated(pipeline: Pipeline) -> AsyncIterator[None]:
    """Receivers and writers reach it, and the replica that is promoted meanwhile."""
    streams, shard = _several(pipeline)
    master = await streams.master_of(shard)
    async with streams.network.separated(master):
        await streams.is_promoted(shard, master)
        yield


def cluster_failover(*force: str) -> Inflict:
    """As an operator asks for. With FORCE or TAKEOVER the replica does not wait for its master, which lives."""

    @asynccontextmanager
    async def inflict(pipeline: Pipeline) -> AsyncIterator[None]:
        streams, shard = _several(pipeline)
        master = await streams.master_of(shard)
        await ask(await streams.replica_of(shard), "CLUSTER", "FAILOVER", *force)
        await streams.is_promoted(shard, master)
        yield

    return inflict


@asynccontextmanager
async def slots_moved(pipeline: Pipeline) -> AsyncIterator[None]:
    """Each shard's slot to another master."""
    streams = pipeline.streams
    assert isinstance(streams, OfCluster)
    masters = {owners[0].port: owners[0] for _, _, owners in await streams.cluster.owners()}
    for shard in range(streams.shards):
        source = await streams.master_of(shard)
        others = [master for port, master in masters.items() if port != source.port]
        await streams.cluster.move(shard, pipeline.random.choice(others))
    yield


def _watched(pipeline: Pipeline) -> Watched:
    assert isinstance(pipeline.streams, OfSentinels)
    return pipeline.streams.watched


@asynccontextmanager
async def sentinel_failover(pipeline: Pipeline) -> AsyncIterator[None]:
    """As an operator asks for: Sentinels promote the replica, and don't wait for it."""
    streams, shard = _several(pipeline)
    watched, master = _watched(pipeline), await streams.master_of(shard)

    async def is_accepted() -> bool:
        try:
            await ask(watched.sentinels[0], "SENTINEL", "FAILOVER", watched.SERVICE)
        except ResponseError:  # no replica that is good enough, as they see it now; or the failover before is not over
            return await watched.master() is not master
        return True

    await eventually(is_accepted, "a Sentinel accepts it")
    await streams.is_promoted(shard, master)
    yield


@asynccontextmanager
async def sentinel_killed(pipeline: Pipeline) -> AsyncIterator[None]:
    """The others go on."""
    async with _killed(pipeline.random.choice(_watched(pipeline).sentinels)):
        yield
