"""What a connection leaves is appended in its turn, within a bound."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from tests.support.waiting import eventually
from traksense_ingest.receiver.inbox import MESSAGE_BYTES
from traksense_ingest.receiver.intake import HELD_BYTES, Intake
from traksense_ingest.receiver.message import Message
from traksense_ingest.shared.metrics import ReceiverMetrics
from traksense_ingest.shared.streams.sharding import Sharding

ONE_SHARD = Sharding(1, lambda _topic: None)
LARGE = HELD_BYTES // 4


class Stuck:
    """An appender that appends nothing before it may."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.is_asked, self.may = asyncio.Event(), asyncio.Event()
        self.appended: list[int] = []

    async def append(self, batch: Sequence[Message]) -> None:
        self.is_asked.set()
        await self.may.wait()
        self.appended += [message.received_at for message in batch]


def message(number: int, size: int = LARGE - MESSAGE_BYTES) -> Message:
    return Message(b"t", b"x" * size, number, number, 1, 0)


async def test_more_than_a_bound_is_left_to_the_broker() -> None:
    appender: Any = Stuck()
    acknowledged: list[Message] = []
    left: list[Intake] = []
    async with asyncio.TaskGroup() as tasks:
        for number in range(10):
            intake = Intake([appender], ONE_SHARD, lambda batch: batch, ReceiverMetrics())
            intake.start(tasks, acknowledged.extend)
            intake.deliver([message(number)])
            await appender.is_asked.wait()
            intake.connection_lost(left)
        last = Intake([appender], ONE_SHARD, lambda batch: batch, ReceiverMetrics())
        last.start(tasks, acknowledged.extend)
        last.deliver([message(10)])
        appender.may.set()
        await eventually(lambda: acknowledged)
        await last.close()
    # The first is with the appender and no longer counted; four more are within the bound.
    assert appender.appended == [0, 1, 2, 3, 4, 10]
    assert [message.received_at for message in acknowledged] == [10], "the others' connections are lost"
