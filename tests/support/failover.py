"""A master and a replica of Redis, which change places as an operator has them do."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from tests.chaos.proxy import Proxy
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import Server


async def follow(replica: Server, master: Server) -> None:
    """Make one server the other's replica, and wait until it has caught up."""
    async with Redis.from_url(replica.url, protocol=2) as client, Redis.from_url(master.url, protocol=2) as of_master:
        await of_master.config_set("repl-diskless-sync-delay", 0)
        await client.replicaof("127.0.0.1", master.port)
        await eventually(lambda: _replication(client, "master_link_status", "up"), "the replica has caught up")


async def hand_over(master: Server, replica: Server, proxy: Proxy) -> None:
    """New connections lead to the replica, which becomes the master: FAILOVER waits until it has everything."""
    async with Redis.from_url(master.url, protocol=2) as client, Redis.from_url(replica.url, protocol=2) as of_replica:
        await eventually(lambda: _replication(of_replica, "master_link_status", "up"), "the replica has caught up")
        proxy.lead_to(replica.port)
        await client.execute_command("FAILOVER", "TO", "127.0.0.1", str(replica.port))  # type: ignore[no-untyped-call]
        await eventually(lambda: _replication(of_replica, "role", "master"), "the replica is the master")


async def _replication(client: Redis, name: str, value: str) -> bool:
    about: Any = await client.info("replication")
    return bool(about.get(name) == value)
