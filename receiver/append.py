"""A batch into its stream, in one atomic step, when there is room; and waiting when there is none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from traksense_ingest.receiver.backpressure import Backpressure
from traksense_ingest.receiver.durability import Durability, DurabilityBarrier
from traksense_ingest.receiver.message import Message
from traksense_ingest.shared.metrics import ReceiverMetrics
from traksense_ingest.shared.runtime.health import Component
from traksense_ingest.shared.runtime.retry import Backoff, retry_through_outage
from traksense_ingest.shared.runtime.tasks import end_if_cancelled
from traksense_ingest.shared.streams import connection as redis_connection
from traksense_ingest.shared.streams.client import Clients, errors_name_key, length_of
from traksense_ingest.shared.streams.keys import RETAINED, key_of
from traksense_ingest.shared.streams.scripts import Scripts, append_arguments

# What the receiver runs on a stream, from here and from append.lua.
COMMANDS = ("XLEN {stream}", "XADD {stream} * field value")

FULL_FIRST_S, FULL_CAP_S = 0.005, 0.2  # how often a receiver that waits for room asks again


class Appender:
    """Appends to one shard's stream. A batch is appended when every message of it is in the stream."""

    def __init__(
        self,
        shard: int,
        clients: Clients,
        cap: int,
        durability: Durability,
        redis: Component,
        metrics: ReceiverMetrics,
    ) -> None:
        self._stream = key_of(shard)
        self._client = clients.of(self._stream).client()  # one connection: what it confirms is what it has written
        self._scripts = Scripts.of(self._client)
        self._cap = cap
        self._backpressure = Backpressure(self._stream, cap, metrics)
        self._barrier = DurabilityBarrier(durability, self._client, self._stream)
        self._redis = redis
        self._metrics = metrics
        self.turn = asyncio.Lock()  # whose messages are appended: one connection's, then the next one's

    async def append(self, batch: Sequence[Message]) -> None:
        """Append all of the batch, in order, waiting through outages and while the stream is full."""
        room = self._cap
        while batch:
            appended, length = await retry_through_outage(self._redis, partial(self._append, batch[:room]))
            self._metrics.appended.inc(appended)
            batch = batch[appended:]
            room = self._cap - length
            if batch and room <= 0:
                room = await self._wait_for_room()

    async def aclose(self) -> None:
        """Close the connection."""
        self._backpressure.close()
        await self._client.aclose()

    async def _append(self, batch: Sequence[Message]) -> tuple[int, int]:
        """Try once: how many were appended (all or none), and how long the stream is now."""
        started = time.perf_counter()
        retained = [index for index, message in enumerate(batch, 1) if message.retained]
        words: list[bytes | int] = []
        for message in batch:
            words += (message.topic, message.payload, message.received_at)
        arguments = append_arguments(self._cap, words, RETAINED, retained)
        async with self._one_connection():
            await self._barrier.prepare()
            with errors_name_key(self._stream):
                appended, length = await self._scripts.append(keys=[self._stream], args=arguments)
            if appended:
                await self._confirm()
        if appended:
            self._metrics.append_batch.observe(appended)
            self._metrics.append_time.observe(time.perf_counter() - started)
        return appended, length

    async def _confirm(self) -> None:
        """Wait until what was appended is as safe as it must be. Meanwhile Redis can't be used: nothing of it is
        acknowledged. Raises what `DurabilityBarrier.late` does."""
        if late := await self._barrier.late():
            with self._redis.wait():
                while late:
                    self._redis.down(late)
                    end_if_cancelled()
                    late = await self._barrier.late()

    async def _wait_for_room(self) -> int:
        """Wait until a writer has made room; returns how much there is, in entries."""
        backoff = Backoff(FULL_FIRST_S, FULL_CAP_S)
        with self._backpressure.waiting():
            while (room := self._cap - await retry_through_outage(self._redis, self._length)) <= 0:
                await asyncio.sleep(backoff.delay())
                self._backpressure.count()
        return room

    async def _length(self) -> int:
        async with self._one_connection():
            return await length_of(self._client, self._stream)

    @asynccontextmanager
    async def _one_connection(self) -> AsyncIterator[None]:
        """An error ends the connection: what is written after it, on a new one, may be on another server."""
        try:
            yield
        except BaseException:
            self._barrier.forget()
            await redis_connection.end(self._client)
            raise
