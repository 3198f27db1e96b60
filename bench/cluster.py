"""A Redis Cluster of the benchmark, each master of which has as many shards as the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from redis.crc import key_slot

from bench.servers import Servers
from traksense_ingest.ops.embedded import free_port
from traksense_ingest.ops.embedded.redis_cluster import SLOTS, RedisCluster, cluster_options
from traksense_ingest.shared.streams.keys import key_of


@asynccontextmanager
async def with_cluster(
    servers: Servers, directory: Path, shards: int, masters: int, replicas: int = 0
) -> AsyncIterator[Servers]:
    """The servers with a new cluster instead of their Redis, which goes on; so many masters, and replicas of each."""
    nodes = [
        servers.kind.redis_type(directory / f"redis-{number}", free_port(), cluster_options(free_port()))
        for number in range(masters * (1 + replicas))
    ]
    cluster = RedisCluster(nodes, replicas, even_slots(shards, masters))
    async with AsyncExitStack() as lifetimes:
        for node in nodes:
            await asyncio.to_thread(node.start)
            lifetimes.push_async_callback(asyncio.to_thread, node.stop)
        await asyncio.to_thread(cluster.form)
        pids = {role: pid for role, pid in servers.pids.items() if role != "redis"}
        pids |= {f"redis-{number}": node.pid or 0 for number, node in enumerate(nodes)}
        yield replace(servers, redis_url=cluster.url, pids=pids)


def even_slots(shards: int, masters: int) -> list[range]:
    """The slots of each master. Of equal shares of all slots, one may have the slots of most shards by chance."""
    slots = sorted(key_slot(key_of(shard).encode()) for shard in range(shards))
    each, rest = divmod(shards, masters)
    assert not rest
    ends = [slots[each * number - 1] + 1 for number in range(1, masters)]
    return [range(first, end) for first, end in pairwise((0, *ends, SLOTS))]
