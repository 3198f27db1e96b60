"""Where a connection puts messages and a forwarder takes them, a batch at a time.

Messages at QoS 1 need no bound here: what the broker sends ahead of our acknowledgements is bounded by its in-flight
window. At QoS 0 there is none, so while the stream is full or away the messages beyond a bound are dropped, as QoS 0
allows, and counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from traksense_ingest.receiver.message import Message

MESSAGE_BYTES = 500  # what a message takes beside its payload: some objects, and the topic
QOS_0_BYTES = 16 * 1024 * 1024  # what an inbox holds before it refuses messages at QoS 0


class Inbox:
    """The messages of one shard, in the order received."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._payloads = 0  # bytes
        self._changed = asyncio.Event()
        self.is_awaited = False  # its forwarder has done all that came, and waits for more
        self._is_complete = False
        self._is_closed = False

    def put(self, messages: Iterable[Message]) -> int:
        """Add messages behind the others; returns how many were dropped: those at QoS 0 that there is no room for."""
        dropped = 0
        for message in messages:
            if message.qos == 0 and self._payloads >= QOS_0_BYTES:
                dropped += 1
                continue
            self._messages.append(message)
            self._payloads += len(message.payload)
        self.is_awaited = False
        self._changed.set()
        return dropped

    @property
    def size(self) -> int:
        """About how many bytes of memory are in it."""
        return self._payloads + MESSAGE_BYTES * len(self._messages)

    def complete(self) -> None:
        """Nothing more will come: `take` ends with what is left."""
        self._is_complete = True
        self._changed.set()

    def close(self) -> None:
        """No more batches: what is left stays unacknowledged, and the broker delivers it again."""
        self._is_closed = True
        self._changed.set()

    async def take(self, count: int, size: int) -> list[Message]:
        """All that has arrived, at least one, at most `count` and about `size` bytes; [] at the end.

        It never waits for a batch to fill: while one batch is being appended the next one gathers.
        """
        while not (self._messages or self._is_complete or self._is_closed):
            self._changed.clear()
            self.is_awaited = True
            await self._changed.wait()
        self.is_awaited = False
        return [] if self._is_closed else self._next(count, size)

    def _next(self, count: int, size: int) -> list[Message]:
        batch: list[Message] = []
        while self._messages and len(batch) < count and size > 0:
            batch.append(self._messages.popleft())
            size -= len(batch[-1].payload)
        self._payloads -= sum(len(message.payload) for message in batch)
        return batch
