"""What tests do to a stream, its ledger and its Redis, and what the database has of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.shared.streams.keys import key_of

GONE = re.compile(r"(\d+) entries that were not settled are gone")


async def fill(stack: Stack, count: int, device: str = "dev", shard: int = 0) -> None:
    for second in range(count):
        await stack.append(*telem(device, second), shard=shard)


async def row_of(stack: Stack) -> Any:
    rows = await stack.fetch("SELECT * FROM stream_ledger WHERE stream = $1", key_of(0))
    return rows[0] if rows else None


async def remembers(stack: Stack, **figures: int) -> None:
    async def does() -> bool:
        row = await row_of(stack)
        return row is not None and not row["is_closed"] and {name: row[name] for name in figures} == figures

    await eventually(does, lambda: f"a row with {figures}")


def append_only(stack: Stack) -> Path:
    return stack.redis_server.directory / "appendonlydir"


async def start_redis(stack: Stack) -> None:
    stack.redis_server.start()
    await stack.redis.connection_pool.disconnect()


async def flush(stack: Stack) -> None:
    await stack.redis.flushall()


async def delete(stack: Stack) -> None:
    await stack.redis.delete(key_of(0))
