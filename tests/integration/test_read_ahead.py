"""The next batch comes with the settling of the one before it, as long as a backlog waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.integration.test_crash_points import Crash, crash_after, drain, everything_is_there_once, fill, lane_of
from tests.support.stack import Stack
from tests.support.waiting import eventually
from traksense_ingest.shared.streams.keys import GROUP, key_of
from traksense_ingest.writer.read.consumer import Consumer

BATCH = 4  # of the 11 entries that `fill` appends
NEVER_MS = 600_000  # nothing is claimed meanwhile

Step = Callable[..., Awaitable[Any]]


def counted(patch: pytest.MonkeyPatch, name: str) -> list[int]:
    """How many entries each call had, of a method of the consumer that returns them or returns them last."""
    counts: list[int] = []
    function: Step = getattr(Consumer, name)

    async def counting(*arguments: Any, **named: Any) -> Any:
        result = await function(*arguments, **named)
        counts.append(len(result[-1] if isinstance(result, tuple) else result))
        return result

    patch.setattr(Consumer, name, counting)
    return counts


async def is_empty(stack: Stack) -> bool:
    return await stack.backlog() == 0


async def until_empty(stack: Stack, batch: int = BATCH) -> None:
    """A lane, until the stream is empty."""
    stop = asyncio.Event()
    async with lane_of(stack, "reading", stop, batch, NEVER_MS) as lane:
        running = asyncio.create_task(lane.run(stop))
        await eventually(lambda: is_empty(stack))
        stop.set()
        await running


async def test_a_backlog_is_read_with_the_settling(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(stack)
    ahead, read = counted(monkeypatch, "settle_and_read"), counted(monkeypatch, "read")
    await until_empty(stack)
    assert ahead == [4, 3], "the third batch is not full: nothing waits behind it"
    assert [count for count in read if count] == [4]
    await everything_is_there_once(stack)


async def test_without_a_backlog_nothing_is_asked_for_twice(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(stack)
    ahead = counted(monkeypatch, "settle_and_read")
    await until_empty(stack, batch=20)
    assert ahead == []
    await everything_is_there_once(stack)


async def test_a_writer_crashes_after_it_has_read_ahead(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(stack)
    with monkeypatch.context() as patch:
        patch.setattr(Consumer, "settle_and_read", crash_after(Consumer.settle_and_read))
        async with lane_of(stack, "crashing", asyncio.Event(), BATCH, NEVER_MS) as lane:
            with pytest.raises(Crash):
                await lane.run(asyncio.Event())
    assert len(await stack.redis.xpending_range(key_of(0), GROUP, "-", "+", 100)) == 4, "read, and not settled"
    await drain(stack)
    await everything_is_there_once(stack)


async def test_a_reply_that_is_lost_loses_nothing(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis has settled one batch and delivered the next one, and the writer knows neither."""
    await fill(stack)
    function = Consumer.settle_and_read
    lost: list[Any] = []

    async def losing(*arguments: Any) -> Any:
        result = await function(*arguments)
        if not lost:
            lost.append(result)
            raise RedisConnectionError("Connection closed by server.")
        return result

    monkeypatch.setattr(Consumer, "settle_and_read", losing)
    await until_empty(stack)
    assert lost
    await everything_is_there_once(stack)


async def test_a_server_that_does_not_know_the_script_settles(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(stack)
    function = Consumer.settle_and_read

    async def after_a_restart(*arguments: Any) -> Any:
        await stack.redis.script_flush()
        return await function(*arguments)

    monkeypatch.setattr(Consumer, "settle_and_read", after_a_restart)
    await until_empty(stack)
    await everything_is_there_once(stack)


async def test_what_was_read_ahead_is_stored_before_a_lane_stops(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(stack)
    stop, function = asyncio.Event(), Consumer.settle_and_read

    async def stopping(*arguments: Any) -> Any:
        result = await function(*arguments)
        stop.set()
        return result

    monkeypatch.setattr(Consumer, "settle_and_read", stopping)
    async with lane_of(stack, "stopping", stop, BATCH, NEVER_MS) as lane:
        await lane.run(stop)
    assert await stack.backlog() == 3, "two batches of four"
    assert await stack.pending() == 0
    assert await stack.redis.xinfo_consumers(key_of(0), GROUP) == []
    await drain(stack)
    await everything_is_there_once(stack)
