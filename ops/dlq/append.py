"""Messages into the streams again, as a receiver would append them, with room left for the devices."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import NamedTuple

from redis.asyncio import Redis

from ops.dlq.letter import Letter
from receiver.append import COMMANDS
from receiver.durability import Confirmation, Durability
from shared import stream
from shared.config import Settings
from shared.stream import Scripts, key_of, length_of, naming, shard_of


class Full(NamedTuple):
    """A stream that had no room for these; `length` is how many entries it holds."""

    stream: str
    length: int
    letters: Sequence[Letter]


class Streams:
    """The streams, of which a replay fills no more than half."""

    def __init__(self, client: Redis, shards: int, cap: int, confirmation: Confirmation) -> None:
        self._client = client
        self._scripts = Scripts(client)
        self._shards = shards
        self._confirmation = confirmation
        self.room = max(1, cap // 2)  # entries; the script refuses what would be more

    async def append(self, letters: Sequence[Letter]) -> list[Full]:
        """Append, in order, as many of each stream's letters as it has room for; returns the others.

        What was appended is as safe then as what a receiver acknowledges. Raises what redis-py raises.
        """
        by_shard: dict[int, list[Letter]] = defaultdict(list)
        for letter in letters:
            by_shard[shard_of(letter.topic.encode(), self._shards)].append(letter)
        await self._confirmation.prepare()
        tried = [await self._append(key_of(shard), some) for shard, some in by_shard.items()]
        full = [attempt for attempt in tried if attempt]
        if sum(len(some.letters) for some in full) < len(letters):
            await self._confirmation.confirm()
        return full

    async def has_room(self, full: Full) -> bool:
        """Whether it would have some now."""
        return await length_of(self._client, full.stream) < self.room

    async def _append(self, name: str, letters: Sequence[Letter]) -> Full | None:
        appended, length = await self._try(name, letters)
        if not appended and length < self.room:
            appended, length = await self._try(name, letters[: self.room - length])
        return None if appended == len(letters) else Full(name, length, letters[appended:])

    async def _try(self, name: str, letters: Sequence[Letter]) -> tuple[int, int]:
        """How many were appended, all or none, and how long the stream is now."""
        arguments: list[bytes | int] = [self.room]
        for letter in letters:
            arguments += (letter.topic.encode(), letter.payload, time.time_ns() // 1_000_000)
        with naming(name):
            appended, length = await self._scripts.append(keys=[name], args=arguments)
        return appended, length


@contextmanager
def _quiet_durability() -> Iterator[None]:
    """What it warns of is for receivers: a message whose PUBACK is out. A dead letter stays in its table."""
    log = logging.getLogger(Durability.__module__)
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


@asynccontextmanager
async def streams(settings: Settings) -> AsyncIterator[Streams]:
    """The streams of REDIS_URL; raises what redis-py raises, and Misconfigured, here or when something is appended."""
    async with (
        stream.connect(settings.redis_url) as pool,
        pool.client() as client,  # one connection: what it confirms is what it has written
    ):
        await stream.require(client, settings.ingest_shards, COMMANDS)
        confirmation = Confirmation(Durability(settings.ingest_durability), client)
        with _quiet_durability():
            yield Streams(client, settings.ingest_shards, settings.ingest_queue_max, confirmation)
