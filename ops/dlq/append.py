"""Appends dead letters to the streams, marked as replayed."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from traksense_ingest.ops.appending import streams as appending
from traksense_ingest.ops.dlq.dead_letter import DeadLetter
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.streams.keys import REPLAYED, key_of
from traksense_ingest.shared.streams.scripts import Scripts, append_arguments


class Streams(appending.Streams[DeadLetter]):
    """The streams of a replay. What was appended before a failover is appended twice."""

    async def run_script(self, scripts: Scripts, shard: int, letters: Sequence[DeadLetter]) -> tuple[int, int]:
        known = [index for index, letter in enumerate(letters, 1) if letter.received_at is not None]
        words: list[bytes | int] = []
        for letter in letters:  # not retained: to be stored as any other message
            words += (letter.topic.encode(), letter.payload, _received_ms(letter))
        arguments = append_arguments(self.room, words, REPLAYED, known)
        appended, length = await scripts.append(keys=[key_of(shard)], args=arguments)
        return appended, length


def _received_ms(letter: DeadLetter) -> int:
    """When it was first received; now, if an earlier version has not kept that."""
    return time.time_ns() // 1_000_000 if letter.received_at is None else round(letter.received_at.timestamp() * 1000)


@asynccontextmanager
async def streams(settings: Settings) -> AsyncIterator[Streams]:
    """The streams of REDIS_URL; raises what redis-py raises, Unusable and ConfigurationError, here or in an append."""
    async with appending.target(settings) as target:
        found = Streams(target)
        try:
            yield found
        finally:
            await found.aclose()
