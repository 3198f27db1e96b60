"""REDIS_URL leads to what is not supported: a node of a Redis Cluster, or a Sentinel."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import ResponseError

from tests.support import program
from tests.support.budget import few_of
from tests.support.services import Services
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import RedisServer, Server, free_port
from traksense_ingest.shared.failure import NotServed, Unsupported
from traksense_ingest.shared.streams.client import connect, length_of
from traksense_ingest.shared.streams.keys import key_of

pytestmark = pytest.mark.long

SLOTS = {"all slots": (0, 16383), "some slots": (0, 99), "no slots": None}


def node(
    services: Services, directory: Path, port: int | None = None, options: Mapping[str, str] | None = None
) -> RedisServer:
    server = services.redis_type(directory, port or free_port())
    assert isinstance(server, RedisServer)
    server.options |= {"cluster-enabled": "yes", "cluster-port": str(free_port()), **(options or {})}
    return server


@asynccontextmanager
async def cluster(
    services: Services, directory: Path, slots: str, options: Mapping[str, str] | None = None
) -> AsyncIterator[str]:
    """A node's URL; where it has some slots, another node has the others."""
    with node(services, directory / "node", options=options) as server, node(services, directory / "other") as other:
        async with Redis.from_url(server.url, protocol=2) as client, Redis.from_url(other.url, protocol=2) as second:
            if owned := SLOTS[slots]:
                await add_slots(client, *owned)
            if slots == "all slots":
                await eventually(lambda: is_ok(client), "the cluster is up")
            if slots == "some slots":
                await add_slots(second, 100, 16383)
                bus = other.options["cluster-port"]
                await client.execute_command("CLUSTER", "MEET", "127.0.0.1", str(other.port), bus)  # type: ignore[no-untyped-call]
                await eventually(lambda: is_moved(client), "the nodes know each other")
            yield server.url


async def add_slots(client: Redis, first: int, last: int) -> None:
    await client.execute_command("CLUSTER", "ADDSLOTSRANGE", str(first), str(last))  # type: ignore[no-untyped-call]


async def is_moved(client: Redis) -> bool:
    try:
        await client.get("ingest:{0}")
    except ResponseError as error:
        return error.status_code == "MOVED"
    return False


async def is_ok(client: Redis) -> bool:
    about: bytes = await client.execute_command("CLUSTER", "INFO")  # type: ignore[no-untyped-call]
    return b"cluster_state:ok" in about


class Sentinel(RedisServer):
    """The same program, in its other mode."""

    name: ClassVar[str] = "sentinel"

    def _command(self) -> list[str]:
        configuration = self.directory / "sentinel.conf"
        configuration.write_text(f"port {self.port}\nbind {self.host}\ndir {self.directory}\n")
        return [str(self._binary()), str(configuration), "--sentinel"]


@pytest.fixture(params=["some slots", "sentinel"])
async def unsupported(request: pytest.FixtureRequest, services: Services, tmp_path: Path) -> AsyncIterator[str]:
    if request.param == "sentinel":
        with Sentinel(tmp_path / "sentinel", free_port()) as server:
            yield server.url
    else:
        async with cluster(services, tmp_path, request.param) as url:
            yield url


def reason(url: str, name: str) -> str:
    return {"sentinel": "this is a Sentinel"}.get(name, "this is a node of a Redis Cluster")


async def test_services_and_commands_say_so_in_one_line(
    request: pytest.FixtureRequest, stack: Stack, unsupported: str
) -> None:
    why = reason(unsupported, request.node.callspec.params["unsupported"])
    for service in ("receiver", "writer"):
        process = stack.start(service, REDIS_URL=unsupported)
        assert await asyncio.to_thread(process.wait) == 2
        (said,) = [line for line in process.log.splitlines() if " INFO " not in line]
        assert said.startswith(f"REDIS_URL: redis: {why}"), said
    status = await stack.status(REDIS_URL=unsupported)
    assert (status.returncode, "Traceback" in status.stderr) == (2, False), status.stderr
    assert why in status.stdout
    replay = await command(stack, unsupported, "dlq", "replay", "--all")
    assert replay.returncode == 2, replay.stderr
    assert (replay.stderr.count("\n"), why in replay.stderr, "REDIS_URL" in replay.stderr) == (1, True, True)


async def command(stack: Stack, redis_url: str, *words: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        program.run, "ops", *words, environment={**stack.environment, "REDIS_URL": redis_url}
    )


@pytest.mark.parametrize("slots", few_of(SLOTS, 1))
async def test_any_node_of_a_cluster_is_refused(services: Services, tmp_path: Path, slots: str) -> None:
    async with cluster(services, tmp_path, slots) as url, connect(url) as clients:
        client = clients.of(key_of(0))
        with pytest.raises(Unsupported, match="Redis Cluster"):
            await client.ping()


@pytest.mark.parametrize("slots", few_of(SLOTS, 2))
async def test_a_cluster_that_hides_what_it_is(services: Services, tmp_path: Path, slots: str) -> None:
    """As behind a proxy, or with a renamed command: what it answers to the others says it."""
    renamed = tmp_path / "renamed.conf"
    renamed.write_text("rename-command HELLO NOBODY\n")
    async with cluster(services, tmp_path, slots, {"include": str(renamed)}) as url, connect(url) as clients:
        client = clients.of(key_of(0))
        if slots == "all slots":  # works on one node, but for commands with keys of several streams
            assert await length_of(client, key_of(0)) == 0
        with pytest.raises(Unsupported, match="Redis Cluster"):
            await (client.mget(key_of(0), key_of(1)) if slots == "all slots" else length_of(client, key_of(0)))
        pipeline: Any = client.pipeline(transaction=False)
        pipeline.ping().mget(key_of(0), key_of(1)).ping()
        with pytest.raises(Unsupported, match="Redis Cluster"):
            await pipeline.execute()
        assert await client.ping(), "the connection is made again"


async def test_an_error_of_a_cluster_that_is_down_says_where_to_look(
    stack: Stack, services: Services, tmp_path: Path
) -> None:
    lacking = key_slot(key_of(1).encode())
    with node(services, tmp_path / "node") as server:
        async with Redis.from_url(server.url, protocol=2) as client:
            await add_slots(client, 0, lacking - 1)
            await add_slots(client, lacking + 1, 16383)
        url = server.url.replace("redis://", "redis+cluster://").removesuffix("/0")
        where = f"see `redis-cli -h {server.host} -p {server.port} cluster info` and `cluster nodes`"
        async with connect(url) as clients:
            with pytest.raises(NotServed, match=r"CLUSTERDOWN: .* says: The cluster is down; ") as raised:
                await length_of(clients.of(key_of(0)), key_of(0))
            assert str(raised.value).endswith(where)
            with pytest.raises(NotServed, match=f"says: no node of the cluster serves slot {lacking}; ") as raised:
                await length_of(clients.of(key_of(1)), key_of(1))
            assert str(raised.value).endswith(where)
        checked = await stack.status(REDIS_URL=url, COLUMNS=400)
        (line,) = [line for line in checked.stdout.splitlines() if line.startswith("redis ")]
        assert (checked.returncode, line.split()[1], line.endswith(where)) == (1, "wrong", True), line


async def test_a_redis_that_becomes_a_node_of_a_cluster_is_waited_for(stack: Stack, services: Services) -> None:
    server: Server = stack.redis_server
    receiver, writer = await stack.receiver(), await stack.writer()
    await stack.publish(telem())
    await stack.has_rows("ts_measure", 1)
    server.stop()
    with node(services, server.directory / "cluster", server.port):
        for process in (receiver, writer):
            await process.says("this is a node of a Redis Cluster")
            await eventually(lambda process=process: process.get("/readyz")[0] == 503)  # type: ignore[misc]
    server.start()
    await stack.publish(telem(second=1))
    await stack.has_rows("ts_measure", 2)
    assert "Traceback" not in receiver.log + writer.log
