"""Appends messages to the streams again, as a receiver does, with room left for the devices."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple, TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from traksense_ingest.ops.dlq.dead_letter import DeadLetter
from traksense_ingest.ops.dlq.writers_mappings import warn
from traksense_ingest.receiver.append import COMMANDS
from traksense_ingest.receiver.durability import Durability, DurabilityBarrier
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.failure import Unusable, is_permanent
from traksense_ingest.shared.mapping.load import load
from traksense_ingest.shared.mapping.mappings import Shards
from traksense_ingest.shared.runtime.retry import Backoff
from traksense_ingest.shared.runtime.tasks import end_if_cancelled
from traksense_ingest.shared.streams import connection as redis_connection
from traksense_ingest.shared.streams.client import Clients, connect, errors_name_key, length_of, require
from traksense_ingest.shared.streams.connection import is_of_server
from traksense_ingest.shared.streams.keys import REPLAYED, key_of
from traksense_ingest.shared.streams.scripts import Scripts, append_arguments
from traksense_ingest.shared.streams.sharding import Sharding

T = TypeVar("T")

FAILOVER_S = 10.0  # how long a failover may take before a replay ends; unmarked rows stay in the queue


class Overflow(NamedTuple):
    """A stream that had no room for these; `length` is how many entries it holds."""

    stream: str
    length: int
    letters: Sequence[DeadLetter]


class _Stream:
    """One stream, over one connection: what that confirms is what it has written."""

    def __init__(self, clients: Clients, shard: int, durability: Durability) -> None:
        self.name = key_of(shard)
        self.client = clients.of(self.name).client()
        self.scripts = Scripts.of(self.client)
        self.barrier = DurabilityBarrier(durability, self.client, self.name)

    async def try_append(self, room: int, letters: Sequence[DeadLetter]) -> tuple[int, int]:
        """How many were appended, all or none, and how long the stream is now."""
        known = [index for index, letter in enumerate(letters, 1) if letter.received_at is not None]
        words: list[bytes | int] = []
        for letter in letters:  # not retained: to be stored as any other message
            words += (letter.topic.encode(), letter.payload, _received_ms(letter))
        arguments = append_arguments(room, words, REPLAYED, known)
        with errors_name_key(self.name):
            appended, length = await self.scripts.append(keys=[self.name], args=arguments)
        return appended, length

    async def end_connection(self) -> None:
        """The next one may reach another server."""
        self.barrier.forget()
        await redis_connection.end(self.client)


class Streams:
    """The streams, each of which a replay fills at most by half."""

    def __init__(self, clients: Clients, sharding: Sharding, cap: int, durability: Durability) -> None:
        self._clients = clients
        self._durability = durability
        self._streams: dict[int, _Stream] = {}  # those that something is appended to
        self._sharding = sharding
        self.room = max(1, cap // 2)  # entries; the script refuses what would be more

    async def append(self, letters: Sequence[DeadLetter]) -> list[Overflow]:
        """Append, in order, as many of each stream's letters as it has room for; returns the others.

        Then it is as safe as what a receiver acknowledges. During a failover all of it is tried again, and what was
        appended before the failover is appended twice. Raises what redis-py raises.
        """
        return await self._retry_through_failover(lambda: self._append_all(letters))

    async def has_room(self, overflow: Overflow) -> bool:
        """Whether the stream has room now."""
        name = overflow.stream
        return await self._retry_through_failover(lambda: length_of(self._clients.of(name), name)) < self.room

    async def aclose(self) -> None:
        """Close the connections."""
        for stream in self._streams.values():
            await stream.client.aclose()

    async def _retry_through_failover(self, operation: Callable[[], Awaitable[T]]) -> T:
        """The operation's result. Any error ends the connections: the next ones may reach the new master."""
        backoff, deadline = Backoff(), time.monotonic() + FAILOVER_S
        while True:
            try:
                return await operation()
            except (RedisError, Unusable) as error:
                for stream in self._streams.values():
                    await stream.end_connection()
                if is_permanent(error) or not _may_pass(error) or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(backoff.delay())

    async def _append_all(self, letters: Sequence[DeadLetter]) -> list[Overflow]:
        by_shard: dict[int, list[DeadLetter]] = defaultdict(list)
        for letter in letters:
            by_shard[self._sharding.shard_of(letter.topic.encode())].append(letter)
        results = [await self._append(self._stream_of(shard), some) for shard, some in by_shard.items()]
        return [result for result in results if result]

    async def _append(self, stream: _Stream, letters: Sequence[DeadLetter]) -> Overflow | None:
        await stream.barrier.prepare()
        appended, length = await stream.try_append(self.room, letters)
        if not appended and length < self.room:
            appended, length = await stream.try_append(self.room, letters[: self.room - length])
        if appended:
            await _confirmed(stream.barrier)
        return None if appended == len(letters) else Overflow(stream.name, length, letters[appended:])

    def _stream_of(self, shard: int) -> _Stream:
        if shard not in self._streams:
            self._streams[shard] = _Stream(self._clients, shard, self._durability)
        return self._streams[shard]


async def _confirmed(barrier: DurabilityBarrier) -> None:
    """Return once what was written is safe. Raises Unusable when it is not after FAILOVER_S, and what `late` does."""
    deadline = time.monotonic() + FAILOVER_S
    while late := await barrier.late():
        end_if_cancelled()
        if time.monotonic() > deadline:
            raise late


def _may_pass(error: Exception) -> bool:
    """Whether a failover may be the cause: no connection or answer, a server that refuses to work, too few replicas."""
    is_lost = isinstance(error, RedisConnectionError | RedisTimeoutError | Unusable)
    return is_lost or (isinstance(error, RedisError) and is_of_server(error))


def _received_ms(letter: DeadLetter) -> int:
    """When it was first received; now, if an earlier version has not kept that."""
    return time.time_ns() // 1_000_000 if letter.received_at is None else round(letter.received_at.timestamp() * 1000)


@asynccontextmanager
async def streams(settings: Settings) -> AsyncIterator[Streams]:
    """The streams of REDIS_URL; raises what redis-py raises, Unusable and ConfigurationError, here or in an append."""
    mappings = load(settings.ingest_mappings)
    sharding = Sharding(settings.ingest_shards, Shards(mappings.routes).key)
    # Its warnings are for receivers: a PUBACK that can't be taken back. A dead letter stays in its table.
    durability = Durability(settings.ingest_durability, settings.ingest_replicas, is_logged=False)
    async with connect(settings.redis_url) as clients:
        await require(clients, settings.ingest_shards, COMMANDS + durability.commands)
        await warn(clients, mappings.digests)
        found = Streams(clients, sharding, settings.ingest_queue_max, durability)
        try:
            yield found
        finally:
            await found.aclose()
