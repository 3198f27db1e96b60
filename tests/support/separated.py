"""Several Redis nodes of which one can be separated from the others, and a receiver that uses them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from tests.chaos.setup import set_up
from tests.chaos.streams import SHARDS, OfCluster, SeveralServers, streams_on
from tests.support.process import Process
from tests.support.redis_cluster import ask
from tests.support.services import Services
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.shared.streams.keys import shard_of

MEANWHILE = 20  # messages while a node is separated


@asynccontextmanager
async def several_servers(services: Services, directory: Path, layout: str) -> AsyncIterator[SeveralServers]:
    """A cluster, or a master that Sentinels watch."""
    random = Random(0)
    setup = set_up(services, random, fsync="always", layout=layout)
    async with streams_on(setup, directory, random) as streams:
        assert isinstance(streams, SeveralServers)
        await streams.ready()
        yield streams


@asynccontextmanager
async def two_masters(streams: SeveralServers) -> AsyncIterator[None]:
    """Of shard 0: the replica is promoted, separated from the old master, which clients use until the block's end."""
    master, replica = await streams.master_of(0), await streams.replica_of(0)
    if isinstance(streams, OfCluster):
        async with streams.network.separated(replica):
            await ask(replica, "CLUSTER", "FAILOVER", "TAKEOVER")
            yield
    else:
        async with streams.network.separated(master):
            await streams.is_promoted(0, master)
            yield
    await streams.is_promoted(0, master)
    await streams.ready()


async def start_receiver(stack: Stack, streams: SeveralServers, *, replicas: int) -> Process:
    """A receiver that has acknowledged a message which the replica has, too."""
    receiver = await stack.receiver(**streams.variables | {"INGEST_REPLICAS": str(replicas)})
    await publish(stack, 0, 1)
    await eventually(lambda: appended(receiver) == 1)
    await streams.ready()
    return receiver


async def publish(stack: Stack, first: int, count: int) -> None:
    """Messages of a device whose shard is 0, however many there are."""
    device = next(name for name in map(str, range(100)) if shard_of(telem(name)[0].encode(), SHARDS) == 0)
    await stack.publish(*(telem(device, second=second) for second in range(first, first + count)))


def appended(receiver: Process) -> float:
    """Messages that it has acknowledged."""
    return receiver.metric("ingest_appended_messages_total")
