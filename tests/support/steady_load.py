"""Messages that come for as long as a block takes, and what must be stored of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.stack import START, Stack, telem
from tests.support.waiting import eventually, pause

DEVICES = 20
PERIOD_S = 0.005


class Load:
    """Messages with a timestamp each; `count` of them are acknowledged to their publisher."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.count = 0

    async def has_passed(self, more: int = 50) -> None:
        """Wait until more of them are stored than now."""
        before = await self._stack.count("ts_measure")
        await eventually(lambda: self._has_rows(before + more), f"{more} more are stored")

    async def is_stored_once(self) -> None:
        """Wait until all are stored; then fails if one is stored twice, or is a dead letter, or is not one of these."""
        await eventually(lambda: self._has_rows(self.count), lambda: f"{self.count} rows in ts_measure")
        rows = await self._stack.fetch("SELECT device_id, ts FROM ts_measure")
        stored = [(row["device_id"], round((row["ts"] - START).total_seconds())) for row in rows]
        assert sorted(stored) == sorted((_device(number), number) for number in range(self.count))
        assert await self._stack.count("ingest_errors") == 0

    async def publish(self, ending: asyncio.Event) -> None:
        """One after another, until the end."""
        async with self._stack.client() as client:
            while not ending.is_set():
                topic, payload = telem(_device(self.count), self.count)
                await client.publish(topic, payload, qos=1)
                self.count += 1
                await pause(PERIOD_S)

    async def _has_rows(self, count: int) -> bool:
        return await self._stack.count("ts_measure") >= count


def _device(number: int) -> str:
    return f"dev-{number % DEVICES}"


@asynccontextmanager
async def under_load(stack: Stack) -> AsyncIterator[Load]:
    """Publish for as long as the block takes, from when the first messages are stored."""
    load, ending = Load(stack), asyncio.Event()
    publishing = asyncio.create_task(load.publish(ending))
    try:
        await load.has_passed()
        yield load
    finally:
        ending.set()
        await publishing
