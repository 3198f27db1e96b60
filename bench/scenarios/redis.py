"""Redis: its CPU for an entry, and what it writes to its append-only file, at each step of the entry's life.

A batch of messages is appended, read by a consumer of the group, has its lease renewed, and is settled.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from functools import partial
from typing import Any, TypeVar

from bench.drain import BATCH_MESSAGES
from bench.figure import Reading
from bench.scenario import Impossible, Plan, Scenario, Step
from bench.shape import Shape
from bench.stage import Stage
from traksense_ingest.shared.streams.client import connect
from traksense_ingest.shared.streams.keys import key_of
from traksense_ingest.writer.entry import Entry
from traksense_ingest.writer.read.consumer import Consumer, SettlementKey

BATCHES = 25
CONSUMER = "host-12345-0123abcd-0"  # as long as a writer's
STORED = SettlementKey("telem", "stored")

T = TypeVar("T")


async def steps(stage: Stage, plan: Plan) -> AsyncIterator[Step]:
    """One: all steps of an entry, for many batches."""
    if "redis" not in stage.servers.pids:
        raise Impossible("the CPU of a Redis of your own is not known")
    yield partial(_measure, stage, plan.scaled(BATCHES))


async def _measure(stage: Stage, batches: int) -> Sequence[Reading]:
    await stage.clear()
    shape = Shape(BATCH_MESSAGES)
    async with connect(stage.servers.redis_url) as clients:
        redis, consumer = clients.of(key_of(0)), Consumer(clients, 0, CONSUMER)
        await consumer.read(1, block=False)  # makes the group
        spent = _Spent(stage, redis)
        for _ in range(batches):
            await spent.on("append", stage.fill(shape))
            entries: list[Entry] = await spent.on("read", consumer.read(shape.messages, block=False))
            await spent.on("renew the lease", consumer.renew_lease(entries))
            await spent.on("settle", consumer.settle({STORED: entries}))
    return spent.readings(batches * shape.messages)


class _Spent:
    """CPU seconds and bytes of the append-only file by step."""

    def __init__(self, stage: Stage, redis: Any) -> None:
        self._stage = stage
        self._redis = redis
        self._by_step: dict[str, tuple[float, int]] = {}

    async def on(self, step: str, work: Awaitable[T]) -> T:
        cpu, size = await self._now()
        result = await work
        cpu_after, size_after = await self._now()
        cpu_before, size_before = self._by_step.get(step, (0.0, 0))
        self._by_step[step] = cpu_before + cpu_after - cpu, size_before + size_after - size
        return result

    def readings(self, entries: int) -> list[Reading]:
        return [
            *(Reading(f"{step}, CPU", cpu * 1e6 / entries, "µs/message") for step, (cpu, _) in self._by_step.items()),
            *(
                Reading(f"{step}, written", size / entries, "bytes/message")
                for step, (_, size) in self._by_step.items()
            ),
        ]

    async def _now(self) -> tuple[float, int]:
        info: Any = await self._redis.info("persistence")
        return self._stage.cpu()["redis"], int(info["aof_current_size"])


REDIS = Scenario("redis", steps)
