"""One snapshot for all who wait, and never one that was begun before they asked."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.agreeing import AgreeingRedis
from tests.support.waiting import eventually, one_turn
from traksense_ingest.shared.metrics import Metrics
from traksense_ingest.shared.runtime.health import Component
from traksense_ingest.shared.streams.scripts import Scripts
from traksense_ingest.shared.streams.snapshot import StreamSnapshot
from traksense_ingest.writer.watch import snapshot_feed
from traksense_ingest.writer.watch.snapshot_feed import SnapshotFeed


class Shard:
    """A stream whose snapshots take until `answer` is set; each has one entry more."""

    def __init__(self) -> None:
        self.answer = asyncio.Event()
        self.asked = 0

    async def read(self, _client: Any, _number: int) -> StreamSnapshot:
        self.asked += 1
        added = self.asked
        await self.answer.wait()
        return StreamSnapshot(stream="s", added=added)


@pytest.fixture
async def shard(monkeypatch: pytest.MonkeyPatch) -> Shard:
    shard = Shard()
    monkeypatch.setattr(snapshot_feed, "read_snapshot", shard.read)
    return shard


async def test_who_asks_while_a_snapshot_is_taken_gets_the_next_one(shard: Shard) -> None:
    client: Any = None
    feed = SnapshotFeed(client, [0], Component("redis", "", Metrics(("redis",))))
    early = [asyncio.create_task(feed.next()) for _ in range(2)]
    await one_turn()
    taking = asyncio.create_task(feed.take())
    await eventually(lambda: shard.asked == 1)
    late = asyncio.create_task(feed.next())
    early[1].cancel()
    shard.answer.set()
    (first,) = await taking
    assert (first.added, await early[0]) == (1, [first])
    assert not late.done()
    (second,) = await feed.take()
    assert (second.added, await late) == (2, [second])


def test_scripts_are_registered_once_a_client() -> None:
    one: Any = AgreeingRedis()
    other: Any = AgreeingRedis()
    assert Scripts.of(one) is Scripts.of(one)
    assert Scripts.of(one) is not Scripts.of(other)
