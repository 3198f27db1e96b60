"""Where a connection puts messages and a forwarder takes them, a batch at a time.

It needs no bound of its own: what the broker sends ahead of our acknowledgements is bounded by its
in-flight window, and nothing here is acknowledged before it is in the stream.
"""

from __future__ import annotations

import asyncio
from collections import deque

from receiver.message import Message


class Inbox:
    """The messages of one shard, in the order received."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._changed = asyncio.Event()
        self._is_closed = False

    def put(self, message: Message) -> None:
        """Add a message behind the others."""
        self._messages.append(message)
        self._changed.set()

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
        return batch
