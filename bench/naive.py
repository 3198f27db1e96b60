"""What this service replaces, written as one would: `python -m bench.naive POINTS`.

One process: an aiomqtt subscriber, a queue, json and pydantic, and INSERT … ON CONFLICT DO NOTHING by executemany, into
the table that two more indexes make easy to query. It acknowledges a message before it does anything with it. It ends
when it has stored so many points, and prints what that cost.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import datetime
from typing import Any

import aiomqtt
import asyncpg
from pydantic import BaseModel

from traksense_ingest.shared.config import Settings, load
from traksense_ingest.shared.mqtt import client

INDEXES = (
    "CREATE INDEX naive_ts ON ts_measure (ts DESC)",
    "CREATE INDEX naive_device ON ts_measure (tenant_id, device_id, ts DESC)",
)
DROP_INDEXES = "DROP INDEX naive_ts, naive_device"
INSERT = """
INSERT INTO ts_measure (tenant_id, device_id, point_id, ts, v_num, v_bool, v_text, unit)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING
"""
BATCH_MESSAGES = 800


class Point(BaseModel):
    """A reading."""

    name: str
    t: str
    v: float | bool | str
    u: str | None = None


class Telemetry(BaseModel):
    """telem v1"""

    ts: datetime
    points: list[Point]
    meta: dict[str, Any]


async def main(points: int) -> float:
    """Store so many points; returns what it cost, in CPU seconds."""
    settings = load()
    queue: asyncio.Queue[aiomqtt.Message] = asyncio.Queue()
    async with asyncio.TaskGroup() as tasks:
        receiving = tasks.create_task(_receive(settings, queue))
        cpu = await _store(settings.database_url, queue, points)
        receiving.cancel()
    return cpu


async def _receive(settings: Settings, queue: asyncio.Queue[aiomqtt.Message]) -> None:
    async with client(settings, "bench-naive") as subscriber:
        await subscriber.subscribe([(name, 1) for name in settings.mqtt_topics])
        print("ready", flush=True)
        async for message in subscriber.messages:
            queue.put_nowait(message)


async def _store(url: str, queue: asyncio.Queue[aiomqtt.Message], points: int) -> float:
    connection = await asyncpg.connect(url)
    batch = [await queue.get()]
    cpu = time.process_time()
    while True:
        while not queue.empty() and len(batch) < BATCH_MESSAGES:
            batch.append(queue.get_nowait())
        rows = [row for message in batch for row in _rows(message)]
        await connection.executemany(INSERT, rows)
        points -= len(rows)
        if points <= 0:
            break
        batch = [await queue.get()]
    spent = time.process_time() - cpu
    await connection.close()
    return spent


def _rows(message: aiomqtt.Message) -> list[tuple[Any, ...]]:
    _, tenant, _, device, _ = str(message.topic).split("/")
    telemetry = Telemetry(**json.loads(message.payload))
    return [(tenant, device, point.name, telemetry.ts, *_columns(point.v), point.u) for point in telemetry.points]


def _columns(value: float | bool | str) -> tuple[float | None, bool | None, str | None]:
    if isinstance(value, bool):
        return None, value, None
    if isinstance(value, str):
        return None, None, value
    return value, None, None


if __name__ == "__main__":
    print(json.dumps({"cpu": asyncio.run(main(int(sys.argv[1])))}), flush=True)
