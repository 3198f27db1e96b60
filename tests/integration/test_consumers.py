"""The names of consumers, and what happens when two have the same one after all."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.shared import config, database
from traksense_ingest.shared.metrics import WriterMetrics
from traksense_ingest.shared.streams import client as stream
from traksense_ingest.shared.streams.keys import key_of
from traksense_ingest.shared.streams.snapshot import read_snapshot
from traksense_ingest.writer.decode.current import CurrentRoutes
from traksense_ingest.writer.lane import Lane
from traksense_ingest.writer.read.consumer import Consumer
from traksense_ingest.writer.read.source import ReadSize, Source
from traksense_ingest.writer.service import health_of, lane_context, process_name


def test_two_containers_with_the_same_host_name_and_process_id_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "writer")
    monkeypatch.setattr(os, "getpid", lambda: 1)
    names = {process_name() for _ in range(20)}
    assert len(names) == 20
    assert all(name.startswith("writer-1-") for name in names)


async def test_lanes_with_the_same_name_lose_nothing_and_double_nothing(stack: Stack) -> None:
    """Each takes the other's entries for its own after an error, and may forget the consumer that the other one is."""
    metrics, stop = WriterMetrics(), asyncio.Event()
    settings = config.load(database_url=stack.database_url)
    health = health_of(settings, metrics)
    pool = await database.open_pool(stack.database_url, 1, 4)
    sources: list[Source] = []
    shared = lane_context(settings, pool, health, metrics, CurrentRoutes(settings, metrics))
    async with stream.connect(stack.redis_server.url) as client:

        def lane() -> Lane:
            group, redis = Consumer(client, 0, "the-same-0"), health.components["redis"]
            sources.append(source := Source(group, ReadSize(50), 5, 200, redis, metrics, stop))
            return Lane(source, shared)

        def value(sample: str, **labels: str) -> float:
            return metrics.registry.get_sample_value(sample, labels) or 0

        running = [asyncio.create_task(lane().run(stop)) for _ in range(3)]
        for round_ in range(6):
            await eventually(lambda: _is_settled(stack))
            await eventually(lambda: not any(source._in_hand for source in sources), "all lanes are free")
            before = value("ingest_redeliveries_total")
            async with locked(stack):
                await append(stack, range(100 * round_, 100 * round_ + 8))
                await eventually(stack.waits_for_a_lock, "one lane has them in hand")
                await stack.redis_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                await eventually(lambda before=before: value("ingest_redeliveries_total") > before, "so has another")  # type: ignore[misc]
            await append(stack, range(100 * round_ + 8, 100 * round_ + 100))
        await stack.has_rows("ts_measure", 600)
        await eventually(lambda: _is_settled(stack))
        stop.set()
        await asyncio.gather(*running)
    await pool.close()
    assert await stack.count("ingest_errors") == 600
    shard = await read_snapshot(stack.clients, 0)
    assert (shard.stored, shard.dead_lettered, shard.missing) == (600, 600, 0)
    assert await stack.fetchval("SELECT max(deliveries) FROM ingest_errors") == 1
    assert value("ingest_messages_total", type="telem") == 1200, "each is counted once"


async def append(stack: Stack, seconds: range) -> None:
    """A message and a bad one for each, all in one step."""
    async with stack.redis.pipeline(transaction=True) as all_at_once:
        for second in seconds:
            for topic, payload in (telem(f"dev{second % 5}", second), (telem()[0], b"poison %d" % second)):
                all_at_once.xadd(key_of(0), {"topic": topic, "payload": payload})
        await all_at_once.execute()


@asynccontextmanager
async def locked(stack: Stack) -> AsyncIterator[None]:
    """Batches stay in hand meanwhile."""
    connection = await asyncpg.connect(stack.database_url)
    async with connection.transaction():
        await connection.execute("LOCK TABLE ts_measure")
        yield
    await connection.close()


async def _is_settled(stack: Stack) -> bool:
    return not await stack.backlog() and not await stack.pending()
