"""The loop of a replay: take a batch under lock, append it, mark it, commit.

In this order nothing can be marked that isn't in the stream. A crash between the append and the COMMIT leaves a batch
unmarked that is in the stream: the next replay appends it again, which changes no stored row but an ACK's updated_at.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ops.dlq.append import Full, Streams
from ops.dlq.due import Due
from ops.dlq.letter import Letter
from ops.dlq.pace import Pace
from shared.backoff import Backoff
from shared.service import unless_stopped


@dataclass
class Tally:
    """What a run has done so far."""

    replayed: int = 0
    skipped: list[int] = field(default_factory=list)  # ids that can't be replayed exactly
    next_id: int = 1  # all rows before it are done

    @property
    def done(self) -> int:
        """Rows that need no more looking at."""
        return self.replayed + len(self.skipped)


class Replayer:
    """Replays what is due until nothing is, `limit` is reached, or `stop`."""

    def __init__(
        self,
        connection: Any,
        due: Due,
        streams: Streams,
        pace: Pace,
        stop: asyncio.Event,
        say: Callable[[str], None],
        tally: Tally,
    ) -> None:
        self.tally = tally
        self._connection = connection
        self._due = due
        self._streams = streams
        self._pace = pace
        self._stop = stop
        self._say = say
        self._has_waited = False

    async def run(self, limit: int | None, first: int | None) -> None:
        """Raises what asyncpg and redis-py raise; then the batch in hand is not marked."""
        self.tally.next_id = first or 1
        while not self._stop.is_set():
            await unless_stopped(self._stop, asyncio.sleep(self._pace.delay(time.monotonic())))
            size = self._pace.batch if limit is None else min(self._pace.batch, limit - self.tally.replayed)
            if self._stop.is_set() or not size or not await self._replay(size):
                return

    async def _replay(self, size: int) -> bool:
        """One batch; False when there is none left."""
        async with self._connection.transaction(isolation="read_committed"):  # looks at what it locks again
            letters = await self._due.take(self.tally.next_id, size)
            exact = [letter for letter in letters if letter.obstacle is None]
            full = await self._streams.append(exact)
            waiting = {letter.id for some in full for letter in some.letters}
            done = [letter.id for letter in exact if letter.id not in waiting]
            await self._due.mark(done)
        self._pace.sent(len(done), time.monotonic())
        self.tally.replayed += len(done)
        self._pass_over(letters, waiting)
        if full:
            await unless_stopped(self._stop, self._wait_for_room(full))
        return bool(letters)

    def _pass_over(self, letters: Sequence[Letter], waiting: set[int]) -> None:
        """Go on behind what is done; say of each row that can't be replayed why."""
        if letters:
            self.tally.next_id = min(waiting, default=letters[-1].id + 1)
        for letter in letters:
            if letter.obstacle and letter.id < self.tally.next_id:
                self.tally.skipped.append(letter.id)
                self._say(f"{letter.id}: not replayed: {letter.obstacle}")

    async def _wait_for_room(self, full: Sequence[Full]) -> None:
        if not self._has_waited:
            self._has_waited = True
            self._say(
                f"{full[0].stream} holds {full[0].length} entries; half of INGEST_QUEUE_MAX is left to the devices: "
                "waiting for the writers"
            )
        backoff = Backoff()
        while True:
            await asyncio.sleep(backoff.delay())
            if all([await self._streams.has_room(some) for some in full]):
                return
