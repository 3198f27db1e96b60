"""What is in the streams of a stack."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.support.stack import Stack
from traksense_ingest.shared.streams.keys import key_of


async def append_all(stack: Stack, messages: Iterable[tuple[str | bytes, bytes]]) -> None:
    """Add entries to shard 0 as a receiver would, all at once."""
    async with stack.redis.pipeline(transaction=False) as pipeline:
        for topic, payload in messages:
            pipeline.xadd(key_of(0), {"topic": topic, "payload": payload, "received_at": 1_700_000_000_000})
        await pipeline.execute()


async def entries(stack: Stack, shard: int = 0) -> list[dict[bytes, bytes]]:
    """The fields of each entry, in order."""
    found: Any = await stack.redis.xrange(key_of(shard))
    return [fields for _, fields in found]


async def backlog_is(stack: Stack, count: int, shard: int = 0) -> bool:
    return await stack.backlog(shard) == count


async def has_in_all(stack: Stack, shards: int, count: int) -> bool:
    """Whether the streams have so many entries together."""
    return sum([await stack.backlog(shard) for shard in range(shards)]) >= count


async def is_empty(stack: Stack) -> bool:
    """Nothing is in the stream, and nothing is delivered and not settled."""
    return not await stack.backlog() and not await stack.pending()


async def never_longer_than(stack: Stack, cap: int) -> None:
    """Fails when the stream has more entries than `cap`; ends in no other way."""
    while True:
        assert await stack.backlog() <= cap
