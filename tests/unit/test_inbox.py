"""A forwarder takes all that has arrived, bounded in messages and bytes."""

from __future__ import annotations

import asyncio

from tests.support.waiting import eventually
from traksense_ingest.receiver.inbox import QOS_0_BYTES, Inbox
from traksense_ingest.receiver.message import Message


def message(number: int, size: int = 1) -> Message:
    return Message(b"t", b"x" * size, 0, number, 1, number)


async def test_all_that_arrived_in_order() -> None:
    inbox = Inbox()
    for number in range(3):
        inbox.put([message(number)])
    inbox.put([message(3), message(4)])
    assert [taken.mid for taken in await inbox.take(3, 100)] == [0, 1, 2]
    assert [taken.mid for taken in await inbox.take(3, 100)] == [3, 4]


async def test_a_batch_ends_when_it_is_large_enough() -> None:
    inbox = Inbox()
    inbox.put(message(number, size=60) for number in range(5))
    assert len(await inbox.take(100, 100)) == 2
    assert len(await inbox.take(100, 10)) == 1  # a message larger than the bound still goes


async def test_it_waits_for_the_first() -> None:
    inbox = Inbox()
    taking = asyncio.create_task(inbox.take(10, 100))
    await eventually(lambda: inbox.is_awaited)
    assert not taking.done()
    inbox.put([message(1)])
    assert [taken.mid for taken in await taking] == [1]


async def test_qos_0_is_refused_beyond_the_bound_and_qos_1_never() -> None:
    inbox = Inbox()
    large = message(1, size=QOS_0_BYTES)
    at_qos_0 = message(2)._replace(qos=0)
    assert inbox.put([large, at_qos_0, at_qos_0, message(3)]) == 2
    assert inbox.put([at_qos_0]) == 1
    assert [taken.mid for taken in await inbox.take(10, 10**9)] == [1, 3]
    assert inbox.put([at_qos_0]) == 0, "there is room again"


async def test_closing_ends_it_and_leaves_the_rest_unacknowledged() -> None:
    inbox = Inbox()
    taking = asyncio.create_task(inbox.take(10, 100))
    await eventually(lambda: inbox.is_awaited)
    inbox.close()
    assert await taking == []
    inbox.put([message(1)])
    assert await inbox.take(10, 100) == []
