"""A replay that waits for room in the stream."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from traksense_ingest.ops.appending.pace import Pace
from traksense_ingest.ops.appending.streams import Overflow
from traksense_ingest.ops.dlq.replayer import Replayer, Tally


class FullStreams:
    """Never any room; a cancellation gets lost, as in redis-py, where a reply arrives in the moment of it."""

    def __init__(self) -> None:
        self.is_asked = asyncio.Event()

    async def append(self, letters: list[Any]) -> list[Overflow[Any]]:
        return [Overflow("ingest:{0}", 4, letters)]

    async def has_room(self, _overflow: Overflow[Any]) -> bool:
        self.is_asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            """The reply has arrived."""
        return False


class OneLetter:
    """A queue that holds one dead letter for ever."""

    async def take(self, _first: int, _size: int) -> list[Any]:
        return [SimpleNamespace(id=1, replay_blocker=None)]

    async def mark(self, ids: list[int]) -> None:
        assert not ids


class Transaction:
    async def start(self) -> None: ...
    async def commit(self) -> None: ...


async def test_it_stops_though_a_cancellation_gets_lost() -> None:
    queue: Any = OneLetter()
    streams: Any = FullStreams()
    connection: Any = SimpleNamespace(transaction=lambda **_options: Transaction())
    stop, log = asyncio.Event(), list[str]()
    replayer = Replayer(connection, queue, streams, Pace(1000, 4), stop, log.append, Tally())
    task = asyncio.create_task(replayer.run(None, None))
    await streams.is_asked.wait()
    stop.set()
    assert await asyncio.wait({task}, timeout=10) == ({task}, set())
    assert replayer.tally.replayed == 0
