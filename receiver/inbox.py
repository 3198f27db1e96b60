"""Where a connection puts messages and a forwarder takes them, a batch at a time.

Messages at QoS 1 need no bound here: what the broker sends ahead of our acknowledgements is bounded by its in-flight
window. At QoS 0 there is none, so while the stream is full or away the messages beyond a bound are dropped, as QoS 0
allows, and counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from receiver.message import Message

QOS_0_BYTES = 16 * 1024 * 1024  # what an inbox holds before it refuses messages at QoS 0


class Inbox:
    """The messages of one shard, in the order received."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._size = 0  # bytes of payload
        self._changed = asyncio.Event()
        self._is_closed = False

    def put(self, messages: Iterable[Message]) -> int:
        """Add messages behind the others; returns how many were dropped: those at QoS 0 that there is no room for."""
        dropped = 0
        for message in messages:
            if message.qos == 0 and self._size >= QOS_0_BYTES:
                dropped += 1
                continue
            self._messages.append(message)
            self._size += len(message.payload)
        self._changed.set()
        return dropped

    def close(self) -> None:
        """No more batches: what is left stays unacknowledged, and the broker delivers it again."""
        self._is_closed = True
        self._changed.set()

    async def take(self, count: int, size: int) -> list[Message]:
        """All that has arrived, at least one, at most `count` and about `size` bytes; [] once closed.

        It never waits for a batch to fill: while one batch is being appended the next one gathers.
        """
        while not (self._messages or self._is_closed):
            self._changed.clear()
            await self._changed.wait()
        return [] if self._is_closed else self._next(count, size)

    def _next(self, count: int, size: int) -> list[Message]:
        batch: list[Message] = []
        while self._messages and len(batch) < count and size > 0:
            batch.append(self._messages.popleft())
            size -= len(batch[-1].payload)
        self._size -= sum(len(message.payload) for message in batch)
        return batch
