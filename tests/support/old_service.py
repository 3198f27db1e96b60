"""The ingest service of the first version, as far as a move needs it: what waits in its memory is lost when it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any

import asyncpg

from tests.support.stack import Stack
from tests.support.waiting import eventually, pause

FLUSH_S = 1.0

_INSERT = """
INSERT INTO public.ts_measure (tenant_id, device_id, point_id, ts, v_num, unit, qual) VALUES ($1, $2, $3, $4, $5, $6, 0)
"""


class OldService:
    """MQTT → a list → executemany."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._rows: list[tuple[Any, ...]] = []
        self.flushes = 0

    @property
    def in_memory(self) -> int:
        """Rows that would be lost now."""
        return len(self._rows)

    async def has_flushed(self) -> None:
        """Wait until what it got until now is in the database."""
        before = self.flushes
        await eventually(lambda: self.flushes > before + 1, "it has flushed")

    async def take(self, client: Any) -> None:
        """Every message, one by one."""
        async for message in client.messages:
            _, tenant, _, device, _ = str(message.topic).split("/")
            said = json.loads(message.payload)
            ts = datetime.fromisoformat(said["ts"])
            self._rows += [
                (tenant, device, point["name"], ts, float(point["v"]), point.get("u")) for point in said["points"]
            ]

    async def flush(self) -> None:
        """What came since, at intervals."""
        while True:
            await pause(FLUSH_S)
            rows, self._rows = self._rows, []
            await self._connection.executemany(_INSERT, rows)
            self.flushes += 1


@asynccontextmanager
async def old_service(stack: Stack) -> AsyncIterator[OldService]:
    """For as long as the block; at its end it is killed."""
    connection = await asyncpg.connect(stack.database_url)
    service = OldService(connection)
    async with stack.client() as client:
        await client.subscribe("traksense/+/+/+/telem", qos=1)
        tasks = [asyncio.create_task(service.take(client)), asyncio.create_task(service.flush())]
        try:
            yield service
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task
            connection.terminate()
