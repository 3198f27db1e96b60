"""A writer's watch of the ledgers in the process of a test."""

from __future__ import annotations

from typing import Any

from traksense_ingest.shared.metrics import Metrics
from traksense_ingest.shared.runtime.health import Component
from traksense_ingest.shared.streams.keys import key_of
from traksense_ingest.shared.streams.ledger_rows import LedgerRow, LedgerRows
from traksense_ingest.shared.streams.snapshot import StreamSnapshot, read_snapshot
from traksense_ingest.writer.read.consumer import Consumer, SettlementKey
from traksense_ingest.writer.watch.ledger import LedgerWatch


async def _snapshots(client: Any) -> list[StreamSnapshot]:
    return [await read_snapshot(client, 0)]


class Watch:
    """One check at a time, and what a writer does to the stream."""

    def __init__(self, client: Any, pool: Any) -> None:
        metrics = Metrics(("redis", "database"))
        self.rows = LedgerRows(pool)
        redis, database_ = (Component(name, "", metrics) for name in ("redis", "database"))
        self.ledgers = LedgerWatch(client, self.rows, lambda: _snapshots(client), redis, database_)
        self.group = Consumer(client, 0, "lane")

    async def check(self) -> LedgerRow:
        await self.ledgers.check()
        return await self.row()

    async def row(self) -> LedgerRow:
        return (await self.rows.read())[key_of(0)]

    async def settle(self, count: int) -> None:
        entries = await self.group.read(count, block=False) or await self.group.read(count, block=False)
        assert len(entries) == count
        await self.group.settle({SettlementKey("telem", "stored"): entries})
