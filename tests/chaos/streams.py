"""Where the streams of the pipeline under test are: on one Redis, on a cluster, or on a master that Sentinels watch."""

from __future__ import annotations

import asyncio
import tempfile
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import ClassVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.chaos.network import Network
from tests.chaos.proxy import Proxy
from tests.chaos.setup import Setup
from tests.support.redis_cluster import RedisCluster, Watched, ask, redis_cluster, watched_redis
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import RedisServer, Server
from traksense_ingest.shared.streams.client import Clients, ServerClients, connect
from traksense_ingest.shared.streams.keys import GROUP, key_of
from traksense_ingest.shared.streams.snapshot import StreamSnapshot, read_snapshot

CAP = 1_000  # entries: an outage of some seconds fills the stream, so that back-pressure is at work too
MEMORY = 64 << 20  # bytes that Redis may take
SHARDS = 6  # of a cluster


class Streams(ABC):
    """The servers that have them, and how the harness reads them."""

    layout: ClassVar[str]  # as in Setup
    shards: ClassVar[int] = 1
    replicas: ClassVar[int] = 0  # of each master

    clients: Clients
    url: str  # of the services

    @property
    @abstractmethod
    def servers(self) -> Sequence[Server]:
        """All that run now."""

    @property
    def cap(self) -> int:
        """Entries that a stream may have."""
        return CAP // self.shards

    @property
    def variables(self) -> dict[str, str]:
        """For the services."""
        numbers = {"INGEST_SHARDS": self.shards, "INGEST_QUEUE_MAX": self.cap, "INGEST_REPLICAS": self.replicas}
        return {"REDIS_URL": self.url, **{name: str(number) for name, number in numbers.items()}}

    async def ready(self) -> None:  # noqa: B027 - of one server, the services' readiness says it
        """Wait until the servers have recovered from a fault."""

    async def aclose(self) -> None:
        """Close the harness's connections."""
        await self.clients.aclose()

    async def snapshots(self) -> AsyncIterator[StreamSnapshot]:
        """Of each shard, one after another; raises what redis-py raises."""
        for shard in range(self.shards):
            yield await read_snapshot(self.clients, shard)

    async def total(self) -> StreamSnapshot:
        """The sums over all shards, once Redis answers."""
        snapshots: list[StreamSnapshot] = await eventually(self._all_snapshots, "Redis answers")
        first, *others = snapshots
        for other in others:
            first = _sum(first, other)
        return first

    async def _all_snapshots(self) -> list[StreamSnapshot]:
        """None of them where a server is starting, or a cluster is down for a short time."""
        try:
            return [snapshot async for snapshot in self.snapshots()]
        except (RedisError, OSError):
            return []

    async def pending_of(self, pid: int) -> int:
        """How many entries the lanes of a writer's process have in hand."""
        pending = 0
        for shard in range(self.shards):
            key = key_of(shard)
            consumers = await self.clients.of(key).xinfo_consumers(key, GROUP)
            pending += sum(one["pending"] for one in consumers if f"-{pid}-" in one["name"].decode())
        return pending


def _sum(one: StreamSnapshot, other: StreamSnapshot) -> StreamSnapshot:
    names = ("added", "stored", "dead_lettered", "ignored", "removed", "duplicates", "in_stream", "consumers")
    return replace(one, **{name: getattr(one, name) + getattr(other, name) for name in names})


class OneServer(Streams):
    """One Redis behind a proxy. It is read past the proxy."""

    layout = "server"

    def __init__(self, server: Server, proxy: Proxy, url: str, make: Callable[[Path], Server]) -> None:
        self.proxy, self.url = proxy, url
        self._make = make
        self._later = AsyncExitStack()
        self.use(server)

    @property
    def servers(self) -> Sequence[Server]:
        """The one."""
        return [self.server]

    def use(self, server: Server) -> None:
        """From now on this one is the pipeline's."""
        self.server, self.redis = server, Redis.from_url(server.url, protocol=2)
        self.clients = ServerClients(self.redis)
        self._later.push_async_callback(self.redis.aclose)

    async def another(self) -> Server:
        """One more of the same kind, empty, that runs until the end."""
        server = self._make(Path(tempfile.mkdtemp(dir=self.server.directory.parent)))
        await asyncio.to_thread(server.start)
        self._later.push_async_callback(asyncio.to_thread, server.kill)
        return server

    async def aclose(self) -> None:
        """End what was started later, too."""
        await self._later.aclose()


async def _holds(condition: Callable[[], Awaitable[bool]]) -> bool:
    """False also where a server is starting, or has just become a replica."""
    try:
        return await condition()
    except (RedisError, OSError):
        return False


class SeveralServers(Streams):
    """A master or more, each with a replica that takes over when the master fails, and that must have each message."""

    replicas = 1

    def __init__(self, url: str, network: Network) -> None:
        self.url, self.network = url, network
        self.clients = connect(url)

    @abstractmethod
    async def master_of(self, shard: int, *, without: RedisServer | None = None) -> RedisServer:
        """The node that has a shard now; `without` is not asked."""

    @abstractmethod
    async def replica_of(self, shard: int) -> RedisServer:
        """The node that takes over from it."""

    async def is_promoted(self, shard: int, old: RedisServer) -> None:
        """Wait until another node than this one is the master of a shard."""

        async def has_other() -> bool:
            return await self.master_of(shard, without=old) is not old

        await eventually(has_other, f"the replica takes over from {old.directory}")


class OfCluster(SeveralServers):
    """Three masters, and a replica of each."""

    layout = "cluster"
    shards = SHARDS

    def __init__(self, cluster: RedisCluster, network: Network) -> None:
        super().__init__(cluster.url, network)
        self.cluster = cluster

    @property
    def servers(self) -> Sequence[RedisServer]:
        """All nodes."""
        return self.cluster.nodes

    async def ready(self) -> None:
        """Wait until all slots are served, by masters that have their replicas."""
        await eventually(partial(_holds, self.cluster.is_ok), "the cluster is up")
        await eventually(partial(_holds, self.cluster.has_replicas), "each master has its replica")

    async def master_of(self, shard: int, *, without: RedisServer | None = None) -> RedisServer:
        """As a node says."""
        return await self.cluster.master_of(shard, without=without)

    async def replica_of(self, shard: int) -> RedisServer:
        """As a node says, once it knows that the replica is up."""

        async def found() -> RedisServer | None:
            master = await self.cluster.master_of(shard)
            replicas = (owners[1:2] for _, _, owners in await self.cluster.owners() if owners[0] is master)
            return next((replica for each in replicas for replica in each), None)

        replica: RedisServer = await eventually(found, f"the master of shard {shard} has a replica")
        return replica


class OfSentinels(SeveralServers):
    """A master and a replica that three Sentinels watch."""

    layout = "sentinel"

    def __init__(self, watched: Watched, network: Network) -> None:
        super().__init__(watched.url, network)
        self.watched = watched

    @property
    def servers(self) -> Sequence[RedisServer]:
        """Servers and Sentinels."""
        return [*self.watched.servers, *self.watched.sentinels]

    async def ready(self) -> None:
        """Wait until the Sentinels agree on the master, and it has its replica."""
        await eventually(partial(_holds, self.watched.is_watched), "the Sentinels know the replica")
        await eventually(partial(_holds, self._has_replica), "the master has its replica")

    async def _has_replica(self) -> bool:
        return bool(await ask(await self.watched.master(), "WAIT", "1", "100"))

    async def master_of(self, shard: int, *, without: RedisServer | None = None) -> RedisServer:
        """As the Sentinels say."""
        return await self.watched.master()

    async def replica_of(self, shard: int) -> RedisServer:
        """The other one."""
        master = await self.master_of(shard)
        return next(server for server in self.watched.servers if server is not master)


@asynccontextmanager
async def streams_on(setup: Setup, directory: Path, random: Random) -> AsyncIterator[Streams]:
    """Start the servers that the setup wants, and end them."""
    async with AsyncExitStack() as lifetimes:
        start = {"server": _one_server, "cluster": _cluster, "sentinel": _watched}[setup.layout]
        streams = await start(setup, directory, random, lifetimes)
        for server in streams.servers:  # nobody reads their data: an orderly stop would wait for replicas
            lifetimes.push_async_callback(asyncio.to_thread, server.kill)
        lifetimes.push_async_callback(streams.aclose)
        yield streams


async def _one_server(setup: Setup, directory: Path, random: Random, lifetimes: AsyncExitStack) -> Streams:
    server = setup.redis(directory)
    await asyncio.to_thread(server.start)
    proxy = Proxy(server.port, random)
    port = await lifetimes.enter_async_context(proxy.listening())
    return OneServer(server, proxy, f"redis://127.0.0.1:{port}/0", setup.redis)


async def _cluster(setup: Setup, directory: Path, random: Random, lifetimes: AsyncExitStack) -> Streams:
    network = Network(random, lifetimes, setup.fsync)
    cluster = redis_cluster(setup.redis_services, directory / "cluster", prepare=network.add_node)
    return OfCluster(await lifetimes.enter_async_context(cluster), network)


async def _watched(setup: Setup, directory: Path, random: Random, lifetimes: AsyncExitStack) -> Streams:
    network = Network(random, lifetimes, setup.fsync)
    # Without an announcement, a Sentinel would name the address that it connects from.
    lines = [f"bind-source-addr {network.address()}\nsentinel announce-ip 127.0.0.1\n" for _ in range(3)]
    watched = watched_redis(setup.redis_services, directory / "watched", network.add_watched, lines)
    return OfSentinels(await lifetimes.enter_async_context(watched), network)
