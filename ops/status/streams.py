"""One look at the streams and at the receivers, as Redis has them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from shared import presence
from shared.ledger_rows import LedgerRow
from shared.presence import Receiver
from shared.shard import Shard, read_after, read_shard
from shared.stream import key_of, left_behind, number_of

Rows = Mapping[str, LedgerRow]  # by stream


@dataclass(frozen=True)
class Look:
    """The shards, and who appends to them, at one moment."""

    at: float  # by this machine's monotonic clock, in seconds
    shards: Sequence[Shard]
    receivers: Sequence[Receiver] | None  # None where this user may not see them


async def look_at(client: Redis, numbers: Iterable[int]) -> Look:
    """A look to take rates from. Raises what redis-py raises."""
    return await _look(client, [await read_shard(client, number) for number in numbers])


async def look_after(client: Redis, numbers: Iterable[int], rows: Rows) -> Look:
    """A look that is newer than what the database remembers. Raises what redis-py raises."""
    return await _look(client, [await read_after(client, number, row_of(rows, number)) for number in numbers])


async def shards_that_hold(client: Redis, shards: int) -> list[int]:
    """INGEST_SHARDS, and those beyond that hold entries. Raises what redis-py raises."""
    return [*range(shards), *await left_behind(client, shards)]


def with_remembered(shards: Iterable[int], rows: Rows) -> list[int]:
    """And those of which there is something to say."""
    remembered = {number_of(row.stream) for row in rows.values() if row.in_stream or row.missing or row.lost}
    return sorted({*shards, *remembered})


def row_of(rows: Rows, number: int) -> LedgerRow:
    """What is remembered of a shard; nothing, of one that the database has never heard of."""
    return rows.get(key_of(number)) or LedgerRow(stream=key_of(number))


def lost_of(rows: Rows, shards: Iterable[Shard]) -> dict[str, int]:
    """By stream, how many entries went with it."""
    known = {shard.stream: row_of(rows, number_of(shard.stream)) for shard in shards}
    return {shard.stream: known[shard.stream].lost + known[shard.stream].lost_since(shard) for shard in shards}


def as_begun_anew(row: LedgerRow, now: Shard) -> Shard:
    """After a ledger was deleted, it counts from now on; what was lost is told apart."""
    return replace(now, removed=now.unaccounted) if now.missing > 0 and not row.precedes(now) else now


async def _look(client: Redis, shards: Sequence[Shard]) -> Look:
    try:
        receivers: Sequence[Receiver] | None = await presence.receivers(client)
    except ResponseError:
        receivers = None
    return Look(time.monotonic(), shards, receivers)
