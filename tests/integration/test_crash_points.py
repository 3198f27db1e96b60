"""A crash between any two steps, put there on purpose: what is stored afterwards is what was sent, once."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.receiver.acknowledge import Acknowledgements
from traksense_ingest.receiver.connection import subscriptions
from traksense_ingest.receiver.durability import Durability
from traksense_ingest.receiver.filters import Filters, topics_of
from traksense_ingest.receiver.service import Receiver
from traksense_ingest.shared import config, database
from traksense_ingest.shared.mapping.reload import LiveMappings, is_read
from traksense_ingest.shared.metrics import ReceiverMetrics, WriterMetrics
from traksense_ingest.shared.runtime.health import Health
from traksense_ingest.shared.runtime.tasks import sole_error
from traksense_ingest.shared.streams import client as stream
from traksense_ingest.shared.streams.keys import GROUP, key_of
from traksense_ingest.shared.streams.snapshot import read_snapshot
from traksense_ingest.writer.decode.current import CurrentRoutes
from traksense_ingest.writer.decode.mapped.routes import MappedRoutes
from traksense_ingest.writer.lane import Lane
from traksense_ingest.writer.read.consumer import Consumer
from traksense_ingest.writer.read.source import ReadSize, Source
from traksense_ingest.writer.service import health_of, lane_context
from traksense_ingest.writer.store import copy_measures, sql
from traksense_ingest.writer.watch.metrics_recorder import MetricsRecorder

CLAIM_IDLE_MS = 200


class Crash(BaseException):
    """Ends the process, as far as its code can tell: nothing catches it."""


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """What a crash abandoned is finalized here, and not in the middle of something else."""
    yield
    gc.collect()


def crash_after(function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def crashing(*arguments: Any, **named: Any) -> Any:
        if await function(*arguments, **named) or True:
            raise Crash

    return crashing


def crash_before(_function: Callable[..., Any]) -> Callable[..., Any]:
    def crashing(*_arguments: Any, **_named: Any) -> Any:
        raise Crash

    return crashing


@asynccontextmanager
async def lane_of(
    stack: Stack, name: str, stop: asyncio.Event, batch: int = 800, claim_idle_ms: int = CLAIM_IDLE_MS
) -> AsyncIterator[Lane]:
    """A writer's lane as the service makes it, in this process."""
    metrics = WriterMetrics()
    settings = config.load(database_url=stack.database_url)
    health = health_of(settings, metrics)
    pool = await database.open_pool(stack.database_url, 1, 2)
    async with stream.connect(stack.redis_server.url) as client:
        source = Source(
            Consumer(client, 0, name), ReadSize(batch), 50, claim_idle_ms, health.components["redis"], metrics, stop
        )
        yield Lane(source, lane_context(settings, pool, health, metrics, CurrentRoutes(settings, metrics)))
    pool.terminate()


async def drain(stack: Stack) -> None:
    """Another writer takes over, until the stream is empty."""
    stop = asyncio.Event()
    async with lane_of(stack, "survivor", stop) as lane:
        running = asyncio.create_task(lane.run(stop))
        await eventually(lambda: _is_empty(stack))
        stop.set()
        await running


async def _is_empty(stack: Stack) -> bool:
    return await stack.backlog() == 0


async def crash(stack: Stack) -> None:
    async with lane_of(stack, "crashing", asyncio.Event()) as lane:
        with pytest.raises(Crash):
            await lane.run(asyncio.Event())


async def fill(stack: Stack) -> None:
    for second in range(10):
        await stack.append(*telem(second=second, points=3))
    await stack.append("traksense/t/site/dev/telem", b"poison")


async def everything_is_there_once(stack: Stack, rows: int = 30) -> None:
    assert await stack.count("ts_measure") == rows
    assert await stack.count("ingest_errors") == 1
    shard = await read_snapshot(stack.clients, 0)
    assert (shard.missing, shard.in_stream, shard.dead_lettered) == (0, 0, 1)


WRITER_SEAMS = {
    "after the read, before decoding": (MappedRoutes, "decode", crash_before),
    "after COPY, before COMMIT": (copy_measures, "copy_all", crash_after),
    "after all statements, before COMMIT": (sql, "execute", crash_after),
    "after COMMIT, before XACK": (Source, "settle", crash_before),
    "after XACK, before it is counted": (MetricsRecorder, "settled", crash_before),
}


@pytest.mark.parametrize("seam", WRITER_SEAMS)
async def test_a_writer_crashes(stack: Stack, monkeypatch: pytest.MonkeyPatch, seam: str) -> None:
    await fill(stack)
    place, name, fault = WRITER_SEAMS[seam]
    with monkeypatch.context() as patch:
        patch.setattr(place, name, fault(getattr(place, name)))
        await crash(stack)
    await drain(stack)
    await everything_is_there_once(stack)


async def test_a_writer_crashes_in_the_middle_of_a_claim(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(stack)
    await stack.redis.xgroup_create(key_of(0), GROUP, id="0")
    await stack.redis.xreadgroup(GROUP, "dead", {key_of(0): ">"}, count=100)
    await eventually(lambda: _are_idle(stack))
    with monkeypatch.context() as patch:
        patch.setattr(Consumer, "claim", crash_after(Consumer.claim))
        await crash(stack)
    consumers = {entry["consumer"] for entry in await _pending(stack)}
    assert consumers == {b"crashing"}, "the claim was carried out"
    await drain(stack)
    await everything_is_there_once(stack)
    assert await stack.fetchval("SELECT deliveries FROM ingest_errors") == 1, "neither claim counts against it"


async def _pending(stack: Stack) -> Any:
    return await stack.redis.xpending_range(key_of(0), GROUP, "-", "+", 100)


async def _are_idle(stack: Stack) -> bool:
    return all(entry["time_since_delivered"] > CLAIM_IDLE_MS for entry in await _pending(stack))


DUPLICATES = {
    "find_new_points_by_first": telem(points=3),
    "copy_new": telem(points=3),
    "copy_staged": telem(points=[{"name": "new", "v": 1}, {"name": "p0", "v": 1}]),  # not to be seen by its first point
}


@pytest.mark.parametrize("step", DUPLICATES)
async def test_a_writer_crashes_in_the_duplicate_path(stack: Stack, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    await stack.append(*telem(points=3))
    await drain(stack)
    await stack.append(*DUPLICATES[step])
    for second in range(1, 10):
        await stack.append(*telem(second=second, points=3))
    await stack.append("traksense/t/site/dev/telem", b"poison")
    with monkeypatch.context() as patch:
        patch.setattr(copy_measures, step, crash_after(getattr(copy_measures, step)))
        await crash(stack)
    assert await stack.count("ts_measure") == 3, "nothing of it was committed"
    await drain(stack)
    await everything_is_there_once(stack, rows=31 if step == "copy_staged" else 30)


async def test_a_receiver_crashes_after_the_append_before_the_puback(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    await receive(stack, until=_at_once)  # it leaves a session at the broker
    await stack.publish(*(telem(second=second, points=3) for second in range(10)))
    with monkeypatch.context() as patch:
        patch.setattr(Acknowledgements, "appended", crash_before(Acknowledgements.appended))
        with pytest.raises(BaseExceptionGroup) as raised:
            await receive(stack, until=asyncio.Event().wait)
    assert isinstance(sole_error(raised.value), Crash)
    before = await stack.backlog()
    assert before > 0, "the append was carried out"
    await receive(stack, until=lambda: eventually(lambda: _has_all_again(stack, before)))
    await stack.append("traksense/t/site/dev/telem", b"poison")
    await drain(stack)
    await everything_is_there_once(stack)


async def _at_once() -> None:
    """It was connected: that is all."""


async def _has_all_again(stack: Stack, before: int) -> bool:
    return await stack.backlog() == before + 10


async def receive(stack: Stack, until: Callable[[], Awaitable[Any]]) -> None:
    """A receiver in this process, until something has come about."""
    settings = config.load(mqtt_url=stack.broker.url, redis_url=stack.redis_server.url)
    metrics = ReceiverMetrics()
    health = Health(metrics, {"broker": "", "redis": ""})
    stop = asyncio.Event()
    async with stream.connect(stack.redis_server.url) as client, asyncio.TaskGroup() as tasks:
        filters = Filters(client, settings.mqtt_client_id, subscriptions(settings, ()))
        mappings = LiveMappings("", is_read, topics_of, metrics)
        receiver = Receiver(settings, client, filters, mappings, Durability("memory"), health, metrics)
        tasks.create_task(receiver.run(stop))
        await eventually(lambda: health.components["broker"].is_up)
        await until()
        stop.set()
    await receiver.aclose()
