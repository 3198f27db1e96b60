"""The loop of an import: take a batch from the source, append each stream's part of it, move the marks of the others.

After a crash in the middle of a batch some streams are further than others. Then the source is read again from the mark
that is the furthest behind, and each stream gets what is behind its own mark.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from typing import NamedTuple

from traksense_ingest.ops.appending.pace import Pace, Room
from traksense_ingest.ops.imports.destination import Destination, Mark, Moved
from traksense_ingest.ops.imports.source import Message, Source
from traksense_ingest.shared.runtime.service import unless_stopped


class Stretch(NamedTuple):
    """A part of the source, between two positions, and the shards that have it already."""

    after: str
    up_to: str
    done: frozenset[int]


def stretches(marks: dict[int, Mark], order: Sequence[str], last: str) -> list[Stretch]:
    """What is left to import. `order` are the positions of all marks, each once, the first one first."""
    rank = {position: number for number, position in enumerate(order)}
    return [
        Stretch(after, up_to, frozenset(shard for shard, mark in marks.items() if rank[mark.position] > rank[after]))
        for after, up_to in zip(order, [*order[1:], last], strict=True)
    ]


class Importer:
    """Imports a source until its end or `limit` messages, or until `stop` is set."""

    def __init__(self, source: Source, destination: Destination, pace: Pace, stop: asyncio.Event, room: Room) -> None:
        self._source = source
        self._destination = destination
        self._pace = pace
        self._stop = stop
        self._room = room

    async def run(self, last: str, limit: int | None) -> bool:
        """Up to the position `last`; the marks must have been read. Returns whether all of it is imported.

        Raises what redis-py raises, Unusable, and what the source raises.
        """
        most = None if limit is None else self._destination.imported + limit
        while True:
            try:
                return await self._run(last, most)
            except Moved:  # what another process has appended, or a failover has lost
                await self._destination.read_marks()

    async def _run(self, last: str, most: int | None) -> bool:
        order = await self._order()
        if self._destination.is_sharded_otherwise:
            await self._destination.begin_at(order[0], self._destination.imported)
            order = order[:1]
        for stretch in stretches(self._destination.marks, order, last):
            after = stretch.after
            while batch := await self._batch(stretch._replace(after=after), most):
                after = batch
            if self._is_over(most):
                return False
        return True

    async def _order(self) -> list[str]:
        """The positions of the marks. A shard without a mark is at the beginning, unless there are new shards."""
        marks = self._destination.marks.values()
        known = [mark for mark in marks if mark.shards] if self._destination.is_sharded_otherwise else marks
        positions = {mark.position for mark in known}
        return [*([""] if "" in positions else []), *await self._source.in_order(positions - {""})]

    def _is_over(self, most: int | None) -> bool:
        return self._stop.is_set() or (most is not None and self._destination.imported >= most)

    async def _batch(self, stretch: Stretch, most: int | None) -> str:
        """The position up to which a batch was imported; "" if nothing is left, or no more is wanted."""
        await unless_stopped(self._stop, asyncio.sleep(self._pace.delay(time.monotonic())))
        if self._is_over(most):
            return ""
        size = self._pace.batch if most is None else min(self._pace.batch, most - self._destination.imported)
        taken = await self._source.take(stretch.after, stretch.up_to, size)
        if not taken:
            return ""
        by_shard = self._destination.by_shard(item for item in taken if isinstance(item, Message))
        due = {shard: some for shard, some in by_shard.items() if shard not in stretch.done}
        self._destination.begin_batch(due.values(), taken[-1].position)
        if not await self._append([message for some in due.values() for message in some]):
            return ""
        behind = {*self._destination.shards} - stretch.done - due.keys()
        await self._destination.advance(sorted(behind), taken[-1].position)
        return taken[-1].position

    async def _append(self, messages: Collection[Message]) -> bool:
        """All of them, as soon as there is room; False if `stop` was set before."""
        while messages:
            overflows = await self._destination.append(messages)
            rest = [message for overflow in overflows for message in overflow.messages]
            self._pace.sent(len(messages) - len(rest), time.monotonic())
            messages = rest
            if overflows:
                await self._room.wait(overflows)
                if self._stop.is_set():
                    return False
        return True
