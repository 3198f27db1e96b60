"""`status --accept-loss`: what is missing and what is lost is known, and need not be reported any more."""

from __future__ import annotations

from redis.asyncio import Redis

from ops.status.database import ledger_rows
from ops.status.streams import shards_that_hold, with_remembered
from shared.config import Settings
from shared.ledger_rows import LedgerRow, LedgerRows
from shared.shard import read_after, read_shard
from shared.stream import Scripts, connect, key_of, ledger_of


async def accept_loss(settings: Settings, patience_s: float) -> dict[str, int]:
    """By stream, how many entries were written off; the database has `patience_s` for each answer.

    Raises DatabaseAway, and what redis-py raises.
    """
    async with ledger_rows(settings.database_url, patience_s) as rows, connect(settings.redis_url) as client:
        shards = with_remembered(await shards_that_hold(client, settings.ingest_shards), await rows.read())
        return {key_of(shard): await _accept(client, rows, shard) for shard in shards}


async def _accept(client: Redis, rows: LedgerRows, shard: int) -> int:
    """Again and again until nothing is left of it: writers go on writing the row meanwhile."""
    accepted, stream = 0, key_of(shard)
    while True:
        row = (await rows.read()).get(stream) or LedgerRow(stream=stream)
        now = await read_after(client, shard, row)
        lost = row.lost + row.lost_since(now)
        if not (lost or now.missing):
            return accepted
        looks = max(row.looks, now.looks) + 1
        accepted += max(0, await Scripts(client).write_off(keys=[stream, ledger_of(shard)], args=[looks]))
        now = await read_shard(client, shard)
        if now.looks >= looks and await rows.replace(row, now, lost=-row.lost):
            accepted += lost
