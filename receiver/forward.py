"""The loop of a receiver: take what arrived; append it to the stream, or what of it is wanted; acknowledge it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from traksense_ingest.receiver.acknowledge import Acknowledgements
from traksense_ingest.receiver.append import Appender
from traksense_ingest.receiver.inbox import Inbox
from traksense_ingest.receiver.message import Message

Choose = Callable[[Sequence[Message]], Sequence[Message]]  # what of a batch goes into the stream

BATCH_COUNT = 500  # messages in one script call: 1.2 µs each, and 0.6 ms during which Redis does nothing else
BATCH_BYTES = 4 * 1024 * 1024


async def forward(inbox: Inbox, appender: Appender, acknowledgements: Acknowledgements, choose: Choose) -> None:
    """Forward one connection's messages of one shard, until its inbox is closed, or complete and empty.

    After those of the connections before it, so that the order is kept.
    """
    async with appender.turn:
        while batch := await inbox.take(BATCH_COUNT, BATCH_BYTES):
            await appender.append(choose(batch))
            acknowledgements.appended(batch)
