"""A Redis Cluster and Sentinels, of the session's kind of Redis."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError

from tests.support.services import Services
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import RedisServer, free_port
from traksense_ingest.ops.embedded import redis_cluster as embedded
from traksense_ingest.ops.embedded.redis_cluster import cluster_options
from traksense_ingest.shared.streams.keys import key_of, ledger_of

NODE_TIMEOUT_MS = 2_000  # without an answer, until a node counts as failed

Prepare = Callable[[RedisServer], Awaitable[None]]  # may give a server that hasn't started yet more options


async def _as_it_is(_: RedisServer) -> None:
    """Its port is the one that others connect to."""


def port_of(server: RedisServer) -> int:
    """The one that it is reached at: by others it may be that of a proxy."""
    options = server.options
    return int(options.get("cluster-announce-port") or options.get("replica-announce-port") or server.port)


def redis_server(services: Services, directory: Path, options: Mapping[str, str] | None = None) -> RedisServer:
    """One that hasn't started yet."""
    return services.redis_type(directory, free_port(), options)


async def ask(server: RedisServer, *words: str) -> Any:
    """A command on a server, over a connection of its own."""
    async with Redis.from_url(server.url, protocol=2, socket_timeout=5) as client:
        return await client.execute_command(*words)  # type: ignore[no-untyped-call]


class RedisCluster(embedded.RedisCluster):
    """With what tests ask and do."""

    @property
    def url(self) -> str:
        """With all nodes in it."""
        return f"redis+cluster://{','.join(f'{node.host}:{port_of(node)}' for node in self.nodes)}"

    async def master_of(self, shard: int, *, without: RedisServer | None = None) -> RedisServer:
        """The node that has a shard's stream now, as a node that works says; `without` is not asked."""
        slot = key_slot(key_of(shard).encode())
        for first, last, (master, *_) in await self.owners(without=without):
            if first <= slot <= last:
                return master
        raise AssertionError(f"no node has slot {slot}")

    async def owners(self, *, without: RedisServer | None = None) -> list[tuple[int, int, list[RedisServer]]]:
        """The first and the last of some slots, and who has them, the master first."""
        by_port = {port_of(node): node for node in self.nodes}
        for node in self.nodes:
            if node is without:
                continue
            try:
                ranges = await ask(node, "CLUSTER", "SLOTS")
            except (RedisError, OSError):
                continue
            return [(first, last, [by_port[int(one[1])] for one in nodes]) for first, last, *nodes in ranges]
        raise AssertionError("no node answers")

    async def move(self, shard: int, target: RedisServer) -> None:
        """Move a shard's slot to another master, with what is in it, as `redis-cli --cluster reshard` does."""
        source, slot = await self.master_of(shard), str(key_slot(key_of(shard).encode()))
        source_id, target_id = [(await ask(node, "CLUSTER", "MYID")).decode() for node in (source, target)]
        await ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        await ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
        for key in (ledger_of(shard), key_of(shard)):
            await ask(source, "MIGRATE", target.host, str(target.port), key, "0", "5000")
        for node in (target, source):
            await ask(node, "CLUSTER", "SETSLOT", slot, "NODE", target_id)

    async def is_ok(self) -> bool:
        """Whether every node that answers sees all slots served."""
        answers = [await ask(node, "CLUSTER", "INFO") for node in self.nodes if node.running]
        return all(b"cluster_state:ok" in answer for answer in answers)

    async def has_replicas(self) -> bool:
        """Whether each master has a replica that has caught up."""
        masters = {owners[0] for _, _, owners in await self.owners()}
        return all([await ask(master, "WAIT", "1", "100") >= 1 for master in masters])


@asynccontextmanager
async def redis_cluster(
    services: Services, directory: Path, masters: int = 3, prepare: Prepare = _as_it_is
) -> AsyncIterator[RedisCluster]:
    """So many masters with a replica each, which takes over when its master fails."""
    async with AsyncExitStack() as lifetimes:
        options = [cluster_options(free_port(), NODE_TIMEOUT_MS) for _ in range(2 * masters)]
        cluster = RedisCluster(
            [redis_server(services, directory / f"node-{number}", each) for number, each in enumerate(options)]
        )
        for node in cluster.nodes:
            await prepare(node)
            lifetimes.enter_context(node)
        await asyncio.to_thread(cluster.form)
        yield cluster


class Sentinel(RedisServer):
    """The same program, in its other mode."""

    name: ClassVar[str] = "sentinel"

    def __init__(self, directory: Path, port: int, binary: Path, configuration: str = "") -> None:
        super().__init__(directory, port)
        self._program, self._configuration = binary, configuration

    def _command(self) -> list[str]:
        path = self.directory / "sentinel.conf"
        if not path.exists():  # it keeps what it has learned in this file
            path.write_text(f"port {self.port}\nbind {self.host}\ndir {self.directory}\n{self._configuration}")
        return [str(self._program), str(path), "--sentinel"]


class Watched:
    """A master, its replica, and three Sentinels that promote the replica when the master fails."""

    SERVICE = "ingest"

    def __init__(self, servers: Sequence[RedisServer], sentinels: Sequence[Sentinel]) -> None:
        self.servers, self.sentinels = servers, sentinels

    @property
    def url(self) -> str:
        hosts = ",".join(f"{each.host}:{each.port}" for each in self.sentinels)
        return f"redis+sentinel://{hosts}/{self.SERVICE}"

    async def master(self) -> RedisServer:
        """As the Sentinels say."""
        _, port = await ask(self.sentinels[0], "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.SERVICE)
        return next(server for server in self.servers if port_of(server) == int(port))

    async def is_watched(self) -> bool:
        """Whether every Sentinel knows the two others, and the replica, so that a failover is possible."""
        for sentinel in self.sentinels:
            state = dict(_pairs(await ask(sentinel, "SENTINEL", "MASTER", self.SERVICE)))
            if (state[b"num-other-sentinels"], state[b"num-slaves"]) != (b"2", b"1"):
                return False
        return True


@asynccontextmanager
async def watched_redis(
    services: Services, directory: Path, prepare: Prepare = _as_it_is, own: Sequence[str] = ("",) * 3
) -> AsyncIterator[Watched]:
    """Servers and Sentinels that work together; each Sentinel has a line of configuration of its own."""
    async with AsyncExitStack() as lifetimes:
        master, replica = [redis_server(services, directory / name, {}) for name in ("one", "two")]
        for server in (master, replica):
            await prepare(server)
        lifetimes.enter_context(master)
        replica.options |= {"replicaof": f"{master.host} {port_of(master)}", "repl-diskless-sync-delay": "0"}
        lifetimes.enter_context(replica)
        del replica.options["replicaof"]  # after a restart Sentinels say what it is
        service = Watched.SERVICE
        configuration = f"sentinel monitor {service} {master.host} {port_of(master)} 2\n"
        configuration += f"sentinel down-after-milliseconds {service} {NODE_TIMEOUT_MS}\n"
        configuration += f"sentinel failover-timeout {service} 5000\n"
        sentinels = [
            lifetimes.enter_context(
                Sentinel(directory / f"sentinel-{number}", free_port(), binary_of(master), configuration + line)
            )
            for number, line in enumerate(own)
        ]
        watched = Watched((master, replica), sentinels)
        await eventually(watched.is_watched, "the Sentinels know each other and the replica")
        yield watched


def binary_of(server: RedisServer) -> Path:
    """The program of a server that runs."""
    return Path(shutil.which(server._binary()) or server._binary())


def _pairs(reply: Sequence[Any]) -> zip[tuple[Any, Any]]:
    return zip(reply[::2], reply[1::2], strict=True)


async def kill_and_wait(cluster: RedisCluster, shard: int) -> RedisServer:
    """Kill the master of a shard, and wait until its replica has taken over; returns the killed one."""
    killed = await cluster.master_of(shard)
    await asyncio.to_thread(killed.kill)

    async def has_other_master() -> bool:
        return await cluster.master_of(shard) is not killed

    await eventually(has_other_master, "the replica is promoted")
    return killed
