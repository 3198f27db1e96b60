"""Another Redis takes the master's place while the connections to the old one survive, as behind a proxy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ReadOnlyError, RedisError

from tests.chaos.proxy import Proxy
from tests.support.budget import few_of
from tests.support.failover import follow, hand_over
from tests.support.imports import Import, history, json_lines
from tests.support.services import Services
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.ops.dlq.append import streams
from traksense_ingest.ops.dlq.dead_letter import DeadLetter
from traksense_ingest.ops.embedded import Server
from traksense_ingest.ops.status.collector import StatusCollector
from traksense_ingest.ops.status.dependency import State
from traksense_ingest.ops.status.report import Status
from traksense_ingest.shared import config
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.streams.client import connect
from traksense_ingest.shared.streams.keys import GROUP, key_of
from traksense_ingest.writer.read.consumer import Consumer, SettlementKey

COUNT = 600


@dataclass
class Pair:
    """Two servers, of which clients of the proxy reach one."""

    proxy: Proxy
    url: str  # the proxy's
    old: Redis
    new: Redis
    server: Server  # the new one

    def switch(self) -> None:
        """New connections lead to the new one."""
        self.proxy.lead_to(self.server.port)


@pytest.fixture
async def pair(stack: Stack, services: Services, tmp_path: Path) -> AsyncIterator[Pair]:
    proxy = Proxy(stack.redis_server.port, Random(1))
    with services.redis(tmp_path / "new") as server:
        async with proxy.listening() as port, Redis.from_url(server.url, protocol=2) as new:
            yield Pair(proxy, f"redis://127.0.0.1:{port}/0", stack.redis, new, server)


def settings_of(stack: Stack, url: str) -> Settings:
    return config.load(mqtt_url=stack.broker.url, redis_url=url, database_url=stack.database_url)


async def test_a_failover_under_load_where_the_connections_survive(stack: Stack, pair: Pair) -> None:
    await follow(pair.server, stack.redis_server)
    receiver, writer = await stack.receiver(REDIS_URL=pair.url), await stack.writer(REDIS_URL=pair.url)
    messages = [telem(second=second) for second in range(COUNT)]
    async with StatusCollector(settings_of(stack, pair.url), 30.0) as collector:
        assert (await collector.collect(0)).exit_code == 0
        publishing = asyncio.create_task(stack.publish(*messages))
        await eventually(lambda: _has_begun(stack), "messages are stored")
        await hand_over(stack.redis_server, pair.server, pair.proxy)
        await publishing
        await eventually(lambda: _has_rows(stack, COUNT), lambda: f"all are stored\n{receiver.log}\n{writer.log}")
        status = await eventually(lambda: _all_is_well(collector), "status recovers over its own connections")
    stack.redis_server.kill()  # which would wait for its replica
    # More if the old master's answer was lost: then the receiver has appended the same messages once more.
    assert sum(shard.stored for shard in status.shards) >= COUNT
    assert await pair.new.xlen(key_of(0)) == 0
    assert await stack.count("ingest_errors") == 0
    for process in (receiver, writer):
        await process.ready()
        assert "Traceback" not in process.log, process.log


async def becomes_a_replica(old: Redis, port: int) -> None:
    await old.execute_command("REPLICAOF", "127.0.0.1", str(port))  # type: ignore[no-untyped-call]


async def becomes_a_replica_without_a_master(old: Redis, _: int) -> None:
    await old.config_set("replica-serve-stale-data", "no")
    await old.execute_command("REPLICAOF", "127.0.0.1", "1")  # type: ignore[no-untyped-call]


async def misses_its_replicas(old: Redis, _: int) -> None:
    await old.config_set("min-replicas-to-write", 1)


async def loads_for_long(old: Redis, port: int) -> None:
    """A replica answers LOADING while it reads its master's data, each key of takes it 100 ms here."""
    await old.config_set("key-load-delay", 100_000)
    await old.config_set("loading-process-events-interval-bytes", 1024)
    await becomes_a_replica(old, port)


async def runs_a_script_for_long(old: Redis, _: int) -> None:
    await old.config_set("busy-reply-threshold", 100)
    pool: Any = old.connection_pool
    script = await pool.get_connection()
    await script.send_command("EVAL", "while true do end", "0")  # it ends with the server


REFUSALS = (
    becomes_a_replica,
    loads_for_long,
    becomes_a_replica_without_a_master,
    misses_its_replicas,
    runs_a_script_for_long,
)


@pytest.mark.parametrize("refuse", few_of(REFUSALS, 2), ids=lambda refuse: refuse.__name__)
async def test_a_server_that_refuses_to_work_is_left(
    stack: Stack, pair: Pair, refuse: Callable[[Redis, int], Awaitable[None]]
) -> None:
    """Nothing ends a connection, and the name leads to another server, which has another stream."""
    receiver, writer = await stack.receiver(REDIS_URL=pair.url), await stack.writer(REDIS_URL=pair.url)
    await stack.publish(telem())
    await stack.has_rows("ts_measure", 1)
    async with pair.new.pipeline(transaction=True) as filler:
        for number in range(1000):
            filler.set(f"filler:{number}", "x" * 100)
        await filler.execute()
    await refuse(pair.old, pair.server.port)
    pair.switch()
    await stack.publish(*(telem(second=second) for second in range(1, 20)))
    await eventually(lambda: _has_rows(stack, 20), lambda: f"all are stored\n{receiver.log}\n{writer.log}")
    await eventually(lambda: _is_drained(pair), "all are settled on the new server")
    stack.redis_server.kill()
    assert await stack.count("ingest_errors") == 0


async def _is_drained(pair: Pair) -> bool:
    try:
        return await pair.new.xlen(key_of(0)) == 0 and bool(await pair.new.exists(key_of(0)))
    except RedisError:
        return False


async def test_status_says_of_a_replica_that_it_is_one(stack: Stack, pair: Pair) -> None:
    """Over the connections that it has, and over new ones; and that all is well when it is the master again."""
    async with StatusCollector(settings_of(stack, pair.url), 30.0) as collector:
        assert (await collector.collect(0)).exit_code == 0
        await becomes_a_replica(pair.old, pair.server.port)
        for _ in range(2):
            status = await collector.collect(0)
            (redis,) = [each for each in status.dependencies if each.name == "redis"]
            assert (redis.state, status.exit_code) == (State.WRONG, 1)
            assert "replica" in redis.error
        pair.switch()
        assert (await collector.collect(0)).exit_code == 0


def dead_letter(number: int) -> DeadLetter:
    entry = {"tenant_id": "t", "topic": telem()[0], "payload": b"{}", "stream": key_of(0), "entry_id": f"{number}-0"}
    why = {"reason": "parse_error: ts: absent", "error_class": "parse_error", "sqlstate": None}
    others: Any = {"is_text": True, "deliveries": 1, "replayed_at": None, "received_at": None}
    return DeadLetter(id=number, ts=datetime.now(UTC), **entry, **why, **others)  # type: ignore[arg-type]


async def test_a_replay_of_dead_letters_goes_on_at_the_new_master(stack: Stack, pair: Pair) -> None:
    await follow(pair.server, stack.redis_server)
    letters = [dead_letter(number) for number in range(2)]
    async with streams(settings_of(stack, pair.url)) as targets:
        assert await targets.append(letters[:1]) == []
        await hand_over(stack.redis_server, pair.server, pair.proxy)
        assert await targets.append(letters[1:]) == []
    assert await pair.new.xlen(key_of(0)) == 2
    stack.redis_server.kill()


@pytest.mark.long
async def test_an_import_goes_on_at_the_new_master(stack: Stack, pair: Pair, tmp_path: Path) -> None:
    file, sent = tmp_path / "history.jsonl", history(60)
    file.write_text(json_lines(sent))
    await follow(pair.server, stack.redis_server)
    running = Import(stack, tmp_path / "log", file, "--rate", 20, REDIS_URL=pair.url)
    await eventually(lambda: _has_entries(pair.old, 8), "it has begun")
    await hand_over(stack.redis_server, pair.server, pair.proxy)
    assert await running.ends() == 0, running.log
    found: Any = await pair.new.xrange(key_of(0))
    assert [fields[b"payload"] for _, fields in found] == [payload for _, payload in sent]
    stack.redis_server.kill()


async def _has_entries(redis: Redis, count: int) -> bool:
    return int(await redis.xlen(key_of(0))) >= count


async def test_an_entry_that_has_the_id_of_another_ones_is_not_settled_with_it(stack: Stack, pair: Pair) -> None:
    """While both servers took messages, they gave the same id to two of them. A writer has stored one, and settles it
    at the other server."""
    async with connect(pair.url) as clients:
        consumer = Consumer(clients, 0, "lane")
        for redis, second in ((pair.old, 1), (pair.new, 2)):
            topic, payload = telem(second=second)
            await redis.xgroup_create(key_of(0), GROUP, "0", mkstream=True)
            await redis.xadd(key_of(0), {"topic": topic, "payload": payload, "received_at": 1}, id="5-1")
        stored = {SettlementKey("telem", "stored"): await consumer.read(1, block=False)}
        pair.switch()
        await pair.old.replicaof("127.0.0.1", pair.server.port)
        with pytest.raises(ReadOnlyError):
            await consumer.settle(stored)
        assert await consumer.settle(stored) == {SettlementKey("telem", "stored"): 0}
    assert await pair.new.xlen(key_of(0)) == 1
    await stack.writer(REDIS_URL=pair.url)
    await stack.has_rows("ts_measure", 1)
    stack.redis_server.kill()


@asynccontextmanager
async def resolving(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[str]]:
    """The names that the event loop is asked for."""
    loop, asked = asyncio.get_running_loop(), []
    resolve = loop.getaddrinfo

    async def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        asked.append(host)
        return await resolve(host, *arguments, **options)

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    yield asked


async def test_a_name_is_resolved_again_for_each_connection(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    async with connect(f"redis://localhost:{stack.redis_server.port}/0") as clients, resolving(monkeypatch) as asked:
        client = clients.of(key_of(0))
        await client.ping()
        await becomes_a_replica(stack.redis, 1)
        for _ in range(3):
            with pytest.raises(ReadOnlyError):
                await client.set("key", "value")
    assert asked.count("localhost") == 4 - 1, "one, and one after each error but the last"


async def _has_begun(stack: Stack) -> bool:
    return await _has_rows(stack, 50)


async def _has_rows(stack: Stack, count: int) -> bool:
    return await stack.count("ts_measure") >= count


async def _all_is_well(collector: StatusCollector) -> Status | None:
    status = await collector.collect(0)
    return status if status.exit_code == 0 else None
