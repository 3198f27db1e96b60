"""An operator promotes a replica by force, while the old master works on or after it died: nothing is lost or stored
twice with a replica that must have each message; without, what the old master acknowledges after that is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from tests.chaos.proxy import Proxy
from tests.chaos.streams import SeveralServers
from tests.support.failover import follow
from tests.support.redis_cluster import ask, redis_server
from tests.support.separated import MEANWHILE, appended, publish, several_servers, start_receiver, two_masters
from tests.support.services import Services
from tests.support.stack import Stack
from tests.support.steady_load import under_load
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import RedisServer, Server
from traksense_ingest.shared.streams.keys import key_of

pytestmark = pytest.mark.long


@pytest.fixture
async def cluster(services: Services, tmp_path: Path) -> AsyncIterator[SeveralServers]:
    async with several_servers(services, tmp_path, "cluster") as streams:
        yield streams


@pytest.mark.parametrize("force", ["FORCE", "TAKEOVER"])
async def test_replicas_of_a_cluster_take_over_by_force_under_load(
    stack: Stack, cluster: SeveralServers, force: str
) -> None:
    """One after another, while the masters live."""
    await stack.receiver(**cluster.variables)
    await asyncio.gather(*(stack.writer(**cluster.variables) for _ in range(2)))
    async with under_load(stack) as load:
        for shard in range(2):
            master = await cluster.master_of(shard)
            await ask(await cluster.replica_of(shard), "CLUSTER", "FAILOVER", force)
            await cluster.is_promoted(shard, master)
            await cluster.ready()
            await load.has_passed()
    await load.is_stored_once()


@pytest.mark.parametrize("replicas", [0, 1])
async def test_a_replica_takes_over_while_it_is_separated_from_its_master(
    stack: Stack, cluster: SeveralServers, replicas: int
) -> None:
    """The master, on the side of the majority, works on until both sides are connected again."""
    receiver = await start_receiver(stack, cluster, replicas=replicas)
    async with two_masters(cluster):
        await publish(stack, 1, MEANWHILE)
        if replicas:
            await receiver.says("redis can't be used, waiting for it")
            assert appended(receiver) == 1
        else:
            await eventually(lambda: appended(receiver) == 1 + MEANWHILE)
    await stack.writer(**cluster.variables)
    await publish(stack, 1 + MEANWHILE, 1)
    await stack.has_rows("ts_measure", 2 + MEANWHILE * replicas)


@dataclass
class Pair:
    """A master, its replica, and an address that leads to one of them, as that of a proxy or a Kubernetes Service."""

    master: Server
    replica: RedisServer
    proxy: Proxy
    url: str  # the proxy's

    async def promote(self) -> None:
        """As an operator does: the address leads to the promoted replica, too, and connections to the master remain."""
        await ask(self.replica, "REPLICAOF", "NO", "ONE")
        self.proxy.lead_to(self.replica.port)


@pytest.fixture
async def pair(stack: Stack, services: Services, tmp_path: Path) -> AsyncIterator[Pair]:
    proxy = Proxy(stack.redis_server.port, Random(1))
    with redis_server(services, tmp_path / "replica") as replica:
        await follow(replica, stack.redis_server)
        async with proxy.listening() as port:
            yield Pair(stack.redis_server, replica, proxy, f"redis://127.0.0.1:{port}/0")
        for server in (replica, stack.redis_server):
            await asyncio.to_thread(server.kill)  # an orderly stop would wait for replicas


async def test_a_replica_is_promoted_by_hand_while_the_old_master_works_on(stack: Stack, pair: Pair) -> None:
    variables = {"REDIS_URL": pair.url, "INGEST_REPLICAS": 1}
    receiver = await stack.receiver(**variables)
    await asyncio.gather(*(stack.writer(**variables) for _ in range(2)))
    async with under_load(stack) as load:
        await pair.promote()
        await receiver.says("0 of 1 replica confirmed the last messages")
        await follow(pair.master, pair.replica)
        await load.has_passed()
    await load.is_stored_once()


async def test_a_replica_is_promoted_by_hand_after_the_master_died(stack: Stack, pair: Pair) -> None:
    """REDIS_URL is changed, and the services are restarted."""
    receiver, *writers = [
        await stack.receiver(INGEST_REPLICAS=1),
        *await asyncio.gather(*(stack.writer() for _ in range(2))),
    ]
    async with under_load(stack) as load:
        await asyncio.to_thread(pair.master.kill)
        await ask(pair.replica, "REPLICAOF", "NO", "ONE")
        assert [await asyncio.to_thread(process.stop) for process in (receiver, *writers)] == [0, 0, 0]
        await asyncio.to_thread(pair.master.start)
        await follow(pair.master, pair.replica)
        await stack.receiver(REDIS_URL=pair.replica.url, INGEST_REPLICAS=1)
        await stack.writer(REDIS_URL=pair.replica.url)
        await load.has_passed()
    await load.is_stored_once()


async def test_what_the_old_master_acknowledges_after_a_promotion_by_hand_is_lost_without_replicas(
    stack: Stack, pair: Pair
) -> None:
    receiver = await stack.receiver(REDIS_URL=pair.url)
    await publish(stack, 0, 1)
    await eventually(lambda: appended(receiver) == 1)
    await eventually(lambda: ask(pair.replica, "XLEN", key_of(0)), "the replica has it")
    await pair.promote()
    await publish(stack, 1, MEANWHILE)
    await eventually(lambda: appended(receiver) == 1 + MEANWHILE, "the old master has acknowledged them")
    await follow(pair.master, pair.replica)
    await stack.writer(REDIS_URL=pair.url)
    await publish(stack, 1 + MEANWHILE, 1)
    await stack.has_rows("ts_measure", 2)
