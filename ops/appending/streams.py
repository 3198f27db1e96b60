"""Appends messages to the streams, as a receiver does, with room left for the devices."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Generic, NamedTuple, Protocol, TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from traksense_ingest.ops.writers_mappings import warn
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
from traksense_ingest.shared.streams.keys import key_of
from traksense_ingest.shared.streams.scripts import Scripts
from traksense_ingest.shared.streams.sharding import Sharding

FAILOVER_S = 10.0  # how long a failover may take before a command ends, which can be repeated then


class HasTopic(Protocol):
    """What decides the shard of a message."""

    @property
    def topic(self) -> str: ...


T = TypeVar("T")
M = TypeVar("M", bound=HasTopic)


class Overflow(NamedTuple, Generic[M]):
    """A stream that had no room for these messages; `length` is how many entries it holds."""

    stream: str
    length: int
    messages: Sequence[M]


class Target(NamedTuple):
    """The streams of REDIS_URL, and what a receiver of the same settings would do with a message."""

    clients: Clients
    sharding: Sharding
    cap: int
    durability: Durability
    mappings: Mapping[str, str]  # the digest of each


class _Stream:
    """One stream, over one connection: what that confirms is what it has written."""

    def __init__(self, clients: Clients, shard: int, durability: Durability) -> None:
        self.shard = shard
        self.name = key_of(shard)
        self.client = clients.of(self.name).client()
        self.scripts = Scripts.of(self.client)
        self.barrier = DurabilityBarrier(durability, self.client, self.name)

    async def end_connection(self) -> None:
        """The next one may reach another server."""
        self.barrier.forget()
        await redis_connection.end(self.client)


class Streams(ABC, Generic[M]):
    """The streams, each of which is filled at most by half."""

    def __init__(self, target: Target) -> None:
        self.clients = target.clients
        self.sharding = target.sharding
        self.room = max(1, target.cap // 2)  # entries; the script refuses what would be more
        self._durability = target.durability
        self._streams: dict[int, _Stream] = {}  # those that something is appended to

    @abstractmethod
    async def run_script(self, scripts: Scripts, shard: int, messages: Sequence[M]) -> tuple[int, int]:
        """Append to a shard's stream all of the messages, or none where they would be more than `room`.

        Returns how many were appended, and how many entries the stream has then. Raises what redis-py raises.
        """

    async def append(self, messages: Iterable[M]) -> list[Overflow[M]]:
        """Append, in order, as many of each stream's messages as it has room for; returns the others.

        Then it is as safe as what a receiver acknowledges. During a failover all of it is tried again. Raises what
        redis-py raises, Unusable, and what the script raises.
        """
        by_shard = self.by_shard(messages)
        return await self.through_failover(lambda: self._append_all(by_shard))

    async def has_room(self, overflow: Overflow[M]) -> bool:
        """Whether the stream has room now."""
        name = overflow.stream
        return await self.through_failover(lambda: length_of(self.clients.of(name), name)) < self.room

    async def aclose(self) -> None:
        """Close the connections."""
        for stream in self._streams.values():
            await stream.client.aclose()

    def by_shard(self, messages: Iterable[M]) -> dict[int, list[M]]:
        """The messages of each shard that has some, in order."""
        found: dict[int, list[M]] = defaultdict(list)
        for message in messages:
            found[self.sharding.shard_of(message.topic.encode())].append(message)
        return found

    async def through_failover(self, operation: Callable[[], Awaitable[T]]) -> T:
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

    async def _append_all(self, by_shard: Mapping[int, Sequence[M]]) -> list[Overflow[M]]:
        results = [await self._append(self._stream_of(shard), some) for shard, some in by_shard.items()]
        return [result for result in results if result]

    async def _append(self, stream: _Stream, messages: Sequence[M]) -> Overflow[M] | None:
        await stream.barrier.prepare()
        appended, length = await self._run_script(stream, messages)
        if not appended and length < self.room:
            appended, length = await self._run_script(stream, messages[: self.room - length])
        if appended:
            await _confirmed(stream.barrier)
        return None if appended == len(messages) else Overflow(stream.name, length, messages[appended:])

    async def _run_script(self, stream: _Stream, messages: Sequence[M]) -> tuple[int, int]:
        with errors_name_key(stream.name):
            return await self.run_script(stream.scripts, stream.shard, messages)

    def _stream_of(self, shard: int) -> _Stream:
        if shard not in self._streams:
            self._streams[shard] = _Stream(self.clients, shard, self._durability)
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


@asynccontextmanager
async def target(settings: Settings, *commands: str) -> AsyncIterator[Target]:
    """The streams of REDIS_URL. `commands` are what a user of Redis must be allowed besides what receivers run.

    Raises what redis-py raises, Unusable and ConfigurationError, here or in an append.
    """
    mappings = load(settings.ingest_mappings)
    sharding = Sharding(settings.ingest_shards, Shards(mappings.routes).key)
    # Its warnings are for receivers: a PUBACK that can't be taken back. What is appended here is kept where it was.
    durability = Durability(settings.ingest_durability, settings.ingest_replicas, is_logged=False)
    async with connect(settings.redis_url) as clients:
        await require(clients, settings.ingest_shards, COMMANDS + durability.commands + commands)
        await warn(clients, mappings.digests)
        yield Target(clients, sharding, settings.ingest_queue_max, durability, mappings.digests)
