"""A full stream: the receiver waits for room, and nothing is trimmed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.process import Process
from tests.support.stack import Stack, telem
from tests.support.streams import backlog_is, never_longer_than
from tests.support.waiting import eventually, watching
from traksense_ingest.shared.streams.keys import key_of, shard_of


async def test_a_full_stream_holds_and_nothing_is_trimmed(stack: Stack) -> None:
    receiver = await stack.receiver(INGEST_QUEUE_MAX=500)
    async with watching(never_longer_than(stack, 500)):
        await stack.publish(*(telem(f"dev{number % 10}", number) for number in range(2500)))
        await receiver.says("ingest:{0} is full (500 entries)")
        assert receiver.metric("ingest_backpressure") == 1
        await eventually(lambda: receiver.metric("ingest_backpressure_seconds_total") > 0, "counted while it lasts")
        first: Any = await stack.redis.xrange(key_of(0), count=1)

        writer = await stack.writer()
        await stack.has_rows("ts_measure", 2500)
        await eventually(lambda: appended_once_each(stack, receiver, writer, 2500), lambda: receiver.log)
        assert first[0][1][b"payload"] == telem("dev0", 0)[1], "the oldest was still there when it was full"
    await eventually(lambda: receiver.metric("ingest_backpressure") == 0)
    assert receiver.metric("ingest_backpressure_seconds_total") > 0
    await receiver.says("ingest:{0} has room again")
    assert receiver.log.count("is full") == 1, "one line, however many batches had to wait"
    assert writer.metric("ingest_dlq_rows_total") == 0


async def appended_once_each(stack: Stack, receiver: Process, writer: Process, count: int) -> bool:
    """Each delivery of `count` messages with one point is one entry, and the broker delivers some again only after a
    lost connection. That happens with rumqttd, which answers no PINGREQ while the stream is full: after 20 s."""
    added = (await stack.redis.xinfo_stream(key_of(0)))["entries-added"]
    received = receiver.metric("ingest_received_messages_total")
    again = writer.metric("ingest_duplicates_total", type="telem")
    is_explained = not again or "broker is unreachable" in receiver.log
    return bool(added == received == count + again and is_explained)


async def test_a_full_shard_does_not_hold_up_another(stack: Stack) -> None:
    receiver = await stack.receiver(INGEST_SHARDS=2, INGEST_QUEUE_MAX=5)
    by_shard: dict[int, str] = {}
    for number in range(20):
        by_shard.setdefault(_shard_of(f"dev{number}"), f"dev{number}")
    await stack.publish(*(telem(by_shard[0], second) for second in range(10)))
    await receiver.says("ingest:{0} is full")
    await stack.publish(*(telem(by_shard[1], second) for second in range(5)))
    await eventually(lambda: backlog_is(stack, 5, shard=1))
    assert await stack.backlog(0) == 5


def _shard_of(device: str) -> int:
    return shard_of(f"traksense/t/site/{device}/telem".encode(), 2)


@pytest.mark.long
async def test_sigterm_ends_it_also_while_the_stream_is_full(stack: Stack) -> None:
    receiver = await stack.receiver(INGEST_QUEUE_MAX=10)
    await stack.publish(*(telem(second=number) for number in range(100)))
    await receiver.says("is full")
    assert receiver.stop() == 0
    assert await stack.backlog() == 10


async def test_a_backlog_larger_than_the_stream_waits_at_the_broker_in_order(stack: Stack) -> None:
    """More than one batch, more than one in-flight window, a stream that never has room for a whole batch."""
    await stack.receiver(INGEST_QUEUE_MAX=7)
    writer = await stack.writer()
    await stack.publish(*(telem(second=number) for number in range(1000)))
    await stack.has_rows("ts_measure", 1000)
    assert writer.metric("ingest_duplicates_total", type="telem") == 0
