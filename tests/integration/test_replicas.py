"""INGEST_REPLICAS: a PUBACK waits for so many replicas."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.support.failover import follow
from tests.support.redis_cluster import ask, redis_server
from tests.support.redis_users import acl, as_user, has_waitaof, stops
from tests.support.services import Services
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import RedisServer, Server
from traksense_ingest.receiver.durability import Durability, DurabilityBarrier
from traksense_ingest.shared.streams.keys import key_of


@pytest.fixture
async def replica(stack: Stack, services: Services, tmp_path: Path) -> AsyncIterator[RedisServer]:
    """Of the stack's Redis."""
    master = stack.redis_server
    options = {"replicaof": f"{master.host} {master.port}", "repl-diskless-sync-delay": "0"}
    with redis_server(services, tmp_path / "replica", options) as server:
        await eventually(lambda: _has_replica(stack), "it is in sync")
        yield server


async def _has_replica(stack: Stack) -> bool:
    return bool(await stack.redis_command("WAIT", "1", "100"))


@pytest.mark.long
async def test_a_message_that_no_replica_has_is_not_acknowledged(stack: Stack, replica: RedisServer) -> None:
    receiver = await stack.receiver(INGEST_REPLICAS=1)
    assert "and 1 replica must have it, too (INGEST_REPLICAS)" in receiver.log
    await stack.publish(telem(second=0))
    await eventually(lambda: receiver.metric("ingest_appended_messages_total") == 1)
    assert replica.pid
    os.kill(replica.pid, signal.SIGSTOP)
    await stack.publish(telem(second=1))
    late = f"{key_of(0)} on {address_of(stack.redis_server)}: 0 of 1 replica confirmed the last messages"
    await receiver.says(f"redis can't be used, waiting for it: {late} (REDIS_URL=")
    assert (receiver.metric("ingest_appended_messages_total"), receiver.get("/readyz")[0]) == (1, 503)
    await eventually(lambda: is_shown(stack, late))
    os.kill(replica.pid, signal.SIGCONT)
    await eventually(lambda: receiver.metric("ingest_appended_messages_total") == 2)
    await receiver.says("redis can be used again")
    await eventually(lambda: is_well(stack))


@pytest.mark.long
async def test_a_replica_without_an_append_only_file_confirms_nothing(stack: Stack, replica: RedisServer) -> None:
    if not await has_waitaof(stack.redis):
        pytest.skip("WAIT, without WAITAOF, is content with its memory")
    await ask(replica, "CONFIG", "SET", "appendonly", "no")
    receiver = await stack.receiver(INGEST_REPLICAS=1)
    await stack.publish(telem())
    await receiver.says("0 of 1 replica confirmed the last messages; only in memory: 1 (replicas also need")
    assert receiver.metric("ingest_appended_messages_total") == 0
    await ask(replica, "CONFIG", "SET", "appendonly", "yes")
    await eventually(lambda: receiver.metric("ingest_appended_messages_total") == 1)


def address_of(server: Server) -> str:
    return f"{server.host}:{server.port}"


async def is_shown(stack: Stack, reason: str) -> bool:
    """Whether `status` says for what the receiver waits, and ends with 1."""
    checked = await stack.status(COLUMNS=400)
    line = rf"^receiver traksense-receiver can't use redis \(\d+ m?s\): {re.escape(reason)}$"
    return checked.returncode == 1 and bool(re.search(line, checked.stdout, re.MULTILINE))


async def is_well(stack: Stack) -> bool:
    return (await stack.status()).returncode == 0


async def test_fewer_replicas_at_start_are_waited_for(stack: Stack, replica: RedisServer) -> None:
    receiver = stack.start("receiver", INGEST_REPLICAS=2)
    few = f"{address_of(stack.redis_server)} has 1 replica, and INGEST_REPLICAS is 2"
    await receiver.says(few)
    await eventually(lambda: is_shown(stack, few))
    await receiver.keeps_trying("redis_error")
    await asyncio.to_thread(receiver.stop)
    assert await ask(replica, "XLEN", "ingest:{0}") == 0


@pytest.mark.long
async def test_a_replay_ends_with_a_line_where_there_are_too_few(stack: Stack) -> None:
    await stack.writer()
    await stack.append("traksense/t/site/dev/telem", b"{")
    await stack.has_rows("ingest_errors", 1)
    replay = await stack.command("dlq", "replay", "--all", INGEST_REPLICAS=1)
    assert replay.returncode == 1
    assert " has 0 replicas, and INGEST_REPLICAS is 1" in replay.stderr.splitlines()[-1], replay.stderr
    assert "Traceback" not in replay.stderr


@pytest.mark.long
async def test_what_a_failover_may_lose_is_said_at_start(stack: Stack, replica: RedisServer) -> None:
    receiver = await stack.receiver()
    said = "INGEST_REPLICAS is 0: if a replica of this Redis is promoted"
    if await has_waitaof(stack.redis):
        assert receiver.log.count(said) == 1
    else:
        assert said not in receiver.log, "only WAITAOF's answer tells without another permission"
    assert replica.running


@pytest.mark.long
async def test_a_master_that_was_a_replica_meanwhile_confirms_nothing(stack: Stack, replica: RedisServer) -> None:
    """It lost the message, and counts the other master's bytes as this connection's."""
    key = key_of(0)
    async with Redis.from_url(stack.redis_server.url, protocol=2, single_connection_client=True) as client:
        barrier = DurabilityBarrier(Durability("auto", 1, is_logged=False), client, key)
        await barrier.prepare()
        await client.xadd(key, {"lost": 0})
        assert await barrier.late() is None
        await ask(replica, "REPLICAOF", "NO", "ONE")
        await client.xadd(key, {"lost": 1})
        await follow(stack.redis_server, replica)
        await stack.redis_command("REPLICAOF", "NO", "ONE")
        await follow(replica, stack.redis_server)
        await stack.redis.set("padding", "x" * 1000)
        await eventually(lambda: _confirmed(client), "the replica has confirmed more bytes than the lost history had")
        with pytest.raises(RedisConnectionError, match="the server was a replica meanwhile, and may have lost"):
            await barrier.late()
        assert await client.xlen(key) == 1


async def _confirmed(client: Redis) -> bool:
    return bool(await client.wait(1, 100))


async def test_what_replicas_need_is_named_where_it_is_not_allowed(guarded: Stack) -> None:
    await acl(guarded.redis, "receiver", "-info")
    receiver = guarded.start("receiver", REDIS_URL=as_user(guarded, "receiver"), INGEST_REPLICAS=1)
    await stops(receiver, "REDIS_URL: redis: this user may not run: INFO replication; ")
