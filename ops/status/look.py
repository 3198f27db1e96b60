"""Two looks at the streams, and one at what the database remembers of them."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from redis.asyncio import Redis

from ops.status.database import DatabaseAway, ledger_rows
from ops.status.report import Status
from shared.config import Settings
from shared.ledger_rows import LedgerRow
from shared.shard import Shard, read_after, read_shard
from shared.stream import connect, key_of, left_behind, number_of


async def look(settings: Settings, sample_s: float) -> Status:
    """Look twice, `sample_s` apart; raises what redis-py raises. Without the database, by Redis alone."""
    rows = await _remembered(settings)  # first: what Redis says is then the newer one
    async with connect(settings.redis_url) as client:
        shards = await shards_of_interest(client, settings.ingest_shards, rows or {})
        known = [(rows or {}).get(key_of(shard)) or LedgerRow(stream=key_of(shard)) for shard in shards]
        before, started = [await read_shard(client, shard) for shard in shards], time.monotonic()
        await asyncio.sleep(sample_s)
        now = [await read_after(client, shard, row) for shard, row in zip(shards, known, strict=True)]
        ended = time.monotonic()
        if rows is not None:
            await _remember(
                settings, client, [row for row, shard in zip(known, now, strict=True) if row.precedes(shard)]
            )
    lost = {row.stream: row.lost + row.lost_since(shard) for row, shard in zip(known, now, strict=True)}
    now = [_as_begun_anew(row, shard) for row, shard in zip(known, now, strict=True)]
    return Status(before, now, ended - started, settings.ingest_queue_max, None if rows is None else lost)


async def _remember(settings: Settings, client: Redis, sound: Sequence[LedgerRow]) -> None:
    """Copy what no writer has: a stream that nobody reads from may be lost as well. Who may only look leaves it."""
    with contextlib.suppress(DatabaseAway):
        async with ledger_rows(settings.database_url) as rows:
            for row in sound:
                now = await read_after(client, number_of(row.stream), row, is_counted=not row.is_closed)
                if now.is_counted and row.precedes(now):
                    await rows.replace(row, replace(now, looks=now.looks + 1))


def _as_begun_anew(row: LedgerRow, now: Shard) -> Shard:
    """After a ledger was deleted, it counts from now on; what was lost is told apart."""
    return replace(now, removed=now.unaccounted) if now.missing > 0 and not row.precedes(now) else now


async def shards_of_interest(client: Redis, shards: int, rows: Mapping[str, LedgerRow]) -> list[int]:
    """INGEST_SHARDS, those beyond that hold entries, and those of which there is something to say."""
    remembered = {number_of(row.stream) for row in rows.values() if row.in_stream or row.missing or row.lost}
    return sorted({*range(shards), *await left_behind(client, shards), *remembered})


async def _remembered(settings: Settings) -> Mapping[str, LedgerRow] | None:
    try:
        async with ledger_rows(settings.database_url) as rows:
            return await rows.read()
    except DatabaseAway as error:
        print(f"{error}; going by Redis alone", file=sys.stderr)
        return None
