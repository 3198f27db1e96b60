"""How fast messages are appended: at most at a rate, and only while the streams have room."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from traksense_ingest.ops.appending.streams import Overflow
from traksense_ingest.shared.runtime.retry import Backoff
from traksense_ingest.shared.runtime.service import unless_stopped
from traksense_ingest.shared.runtime.tasks import end_if_cancelled

BATCHES_PER_S = 5  # so that a low rate does not come in bursts
BATCH_MAX = 100  # messages in one transaction or script
BATCH_BYTES = 8 * 1024 * 1024  # of payloads in one batch, if it is more than one message


class Pace:
    """At most `rate` messages a second, a batch at a time; times are seconds of any clock."""

    def __init__(self, rate: float, room: int) -> None:
        self.batch = max(1, min(BATCH_MAX, int(rate / BATCHES_PER_S), room))
        self._rate = rate
        self._next = 0.0

    def delay(self, now: float) -> float:
        """Seconds until the next batch may go."""
        return max(0.0, self._next - now)

    def sent(self, messages: int, now: float) -> None:
        """Count messages that were sent. Unused time does not allow more later."""
        self._next = max(self._next, now) + messages / self._rate


class HasRoom(Protocol):
    """What is asked for room."""

    async def has_room(self, overflow: Overflow[Any], /) -> bool: ...


class Room:
    """Waits until the writers have made room, and says once that it does."""

    def __init__(self, streams: HasRoom, stop: asyncio.Event, log: Callable[[str], None]) -> None:
        self._streams = streams
        self._stop = stop
        self._log = log
        self._has_waited = False

    async def wait(self, overflows: Sequence[Overflow[Any]]) -> None:
        """Until each of these streams has room, or `stop` is set. Raises what redis-py raises."""
        if not self._has_waited:
            self._has_waited = True
            self._log(
                f"{overflows[0].stream} holds {overflows[0].length} entries; half of INGEST_QUEUE_MAX is left to the "
                "devices: waiting for the writers"
            )
        await unless_stopped(self._stop, self._room(overflows))

    async def _room(self, overflows: Sequence[Overflow[Any]]) -> None:
        backoff = Backoff()
        while True:
            await asyncio.sleep(backoff.delay())
            has_room = all([await self._streams.has_room(overflow) for overflow in overflows])
            end_if_cancelled()
            if has_room:
                return
