"""A batch into its stream, in one atomic step, when there is room; and waiting when there is none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from redis.asyncio import Redis

from receiver.backpressure import Backpressure
from receiver.durability import Confirmation, Durability
from receiver.message import Message
from shared.backoff import Backoff
from shared.health import Component
from shared.metrics import ReceiverMetrics
from shared.outage import outlast
from shared.stream import Scripts, key_of, length_of, naming

# What the receiver runs on a stream, from here and from append.lua.
COMMANDS = ("XLEN {stream}", "XADD {stream} * field value")

FULL_FIRST_S, FULL_CAP_S = 0.005, 0.2  # how often a receiver that waits for room looks again


class Appender:
    """Appends to one shard's stream. A batch is appended when every message of it is in the stream."""

    def __init__(
        self,
        shard: int,
        client: Redis,
        cap: int,
        durability: Durability,
        redis: Component,
        metrics: ReceiverMetrics,
    ) -> None:
        self._stream = key_of(shard)
        self._client = client.client()  # one connection: what it confirms is what it has written
        self._scripts = Scripts(self._client)
        self._cap = cap
        self._backpressure = Backpressure(self._stream, cap, metrics)
        self._confirmation = Confirmation(durability, self._client)
        self._redis = redis
        self._metrics = metrics

    async def append(self, batch: Sequence[Message]) -> None:
        """Append all of the batch, in order, waiting through outages and while the stream is full."""
        room = self._cap
        while batch:
            appended, length = await outlast(self._redis, partial(self._append, batch[:room]))
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
        arguments: list[bytes | int] = [self._cap]
        for message in batch:
            arguments += (message.topic, message.payload, message.received_at)
        with self._one_connection():
            await self._confirmation.prepare()
            with naming(self._stream):
                appended, length = await self._scripts.append(keys=[self._stream], args=arguments)
            if appended:
                await self._confirmation.confirm()
        if appended:
            self._metrics.append_batch.observe(appended)
            self._metrics.append_time.observe(time.perf_counter() - started)
        return appended, length

    async def _wait_for_room(self) -> int:
        """Wait until a writer has made room; returns how much there is, in entries."""
        backoff = Backoff(FULL_FIRST_S, FULL_CAP_S)
        with self._backpressure.waiting():
            while (room := self._cap - await outlast(self._redis, self._length)) <= 0:
                await asyncio.sleep(backoff.delay())
                self._backpressure.count()
        return room

    async def _length(self) -> int:
        with self._one_connection():
            return await length_of(self._client, self._stream)

    @contextmanager
    def _one_connection(self) -> Iterator[None]:
        """redis-py connects again without a word, but only after a failure or a cancellation that came out of here."""
        try:
            yield
        except BaseException:
            self._confirmation.forget()
            raise
