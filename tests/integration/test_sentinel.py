"""REDIS_URL names Sentinels: the master is asked for at each connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.redis_cluster import Watched, ask, watched_redis
from tests.support.services import Services
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import free_port


@pytest.fixture
async def watched(services: Services, tmp_path: Path) -> AsyncIterator[Watched]:
    async with watched_redis(services, tmp_path) as watched:
        yield watched


@pytest.mark.long
@pytest.mark.parametrize("end", ["killed", "failover"])
async def test_a_failover_under_load(stack: Stack, watched: Watched, end: str) -> None:
    await stack.receiver(REDIS_URL=watched.url, INGEST_REPLICAS=1)
    await stack.writer(REDIS_URL=watched.url)
    await stack.publish(*(telem(second=second) for second in range(50)))
    publishing = asyncio.create_task(stack.publish(*(telem(second=second) for second in range(50, 500))))
    await eventually(lambda: _more_rows(stack, 60), "it is under load")
    before = await watched.master()
    if end == "killed":
        before.kill()
    else:
        await ask(watched.sentinels[0], "SENTINEL", "FAILOVER", watched.SERVICE)

    async def is_promoted() -> bool:
        return await watched.master() is not before

    await eventually(is_promoted, "the replica is promoted")
    if end == "killed":
        before.start()  # Sentinels make it a replica, which the new master's messages need
    await publishing
    await stack.has_rows("ts_measure", 500)
    assert await stack.fetchval("SELECT count(DISTINCT ts) FROM ts_measure") == 500
    await stack.is_well(REDIS_URL=watched.url)


async def test_a_service_that_they_do_not_know_is_waited_for(stack: Stack, watched: Watched) -> None:
    receiver = stack.start("receiver", REDIS_URL=watched.url.replace(f"/{watched.SERVICE}", "/other"))
    await receiver.says("no Sentinel knows a master of the service 'other'")
    await receiver.keeps_trying("redis_error")
    await ask(
        watched.sentinels[0], "SENTINEL", "MONITOR", "other", "127.0.0.1", str((await watched.master()).port), "2"
    )
    await receiver.ready()


async def test_passwords_of_both(stack: Stack, watched: Watched) -> None:
    for server in watched.servers:
        await ask(server, "CONFIG", "SET", "requirepass", "s3cret")
    for sentinel in watched.sentinels:
        await ask(sentinel, "ACL", "SETUSER", "ingest", "on", ">p%40ss", "+sentinel", "allchannels")
        await ask(sentinel, "ACL", "SETUSER", "default", "off")
    hosts = watched.url.removeprefix("redis+sentinel://")
    query = "sentinel_username=ingest&sentinel_password=p%2540ss"
    await stack.receiver(REDIS_URL=f"redis+sentinel://:s3cret@{hosts}?{query}")
    wrong = stack.start("receiver", REDIS_URL=f"redis+sentinel://:s3cret@{hosts}?{query}s")
    assert await asyncio.to_thread(wrong.wait) == 2
    assert wrong.log.count("REDIS_URL: redis: ") == 1, wrong.log
    assert "p%2540sss" not in wrong.log


async def test_no_sentinel_is_reachable(stack: Stack) -> None:
    port = free_port()
    receiver = stack.start("receiver", REDIS_URL=f"redis+sentinel://127.0.0.1:{port}/ingest")
    await receiver.says(f"127.0.0.1:{port}")
    await receiver.keeps_trying("redis_error")


async def test_a_server_that_is_no_sentinel_is_said_so(stack: Stack) -> None:
    address = stack.redis_server.url.removeprefix("redis://").partition("/")[0]
    process = stack.start("receiver", REDIS_URL=f"redis+sentinel://{address}/ingest")
    assert await asyncio.to_thread(process.wait) == 2
    assert "REDIS_URL: redis: this is not a Sentinel; write redis://" in process.log


async def _more_rows(stack: Stack, rows: int) -> bool:
    return await stack.count("ts_measure") > rows
