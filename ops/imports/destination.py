"""Where an import appends to, and how far it is in each stream.

Each stream has a mark for each import: everything of this stream up to a position is appended. The script that appends
messages moves the mark in the same step, and only if the mark is what this process has read. So no message is appended
twice, whatever is interrupted, and however many processes import the same source.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

from traksense_ingest.ops.appending import streams as appending
from traksense_ingest.ops.imports.source import Message, Source, digest, import_id
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.errors import IngestError
from traksense_ingest.shared.streams.client import errors_name_key
from traksense_ingest.shared.streams.keys import imports_of, key_of
from traksense_ingest.shared.streams.scripts import Scripts

COMMANDS = ("HGET {imports} field", "HSET {imports} field value")


class Moved(Exception):
    """A mark is not what this process has read: another one imports the same, or a failover has lost the last ones."""


class Mark(NamedTuple):
    """How far an import is in one stream."""

    imported: int = 0  # messages that were appended
    position: str = ""  # everything up to there is; "": nothing
    shards: int = 0  # how many there were; 0: there is no mark
    sharding: str = ""  # what else decided the shard of a message
    text: str = ""  # as it is in Redis

    @classmethod
    def parse(cls, text: bytes | None, key: str) -> Mark:
        """From Redis; raises IngestError if it is something else."""
        if text is None:
            return cls()
        try:
            fields = json.loads(text)
            imported, position = int(fields["imported"]), str(fields["position"])
            return cls(imported, position, int(fields["shards"]), str(fields["sharding"]), text.decode())
        except (ValueError, KeyError, TypeError):
            raise IngestError(f"{key}: {text!r} is not how far an import is; remove the field with HDEL") from None


class Destination(appending.Streams[Message]):
    """The streams, with the marks of one import."""

    def __init__(self, target: appending.Target, source: Source) -> None:
        super().__init__(target)
        self.shards = range(target.sharding.shards)
        self.marks: dict[int, Mark] = {}
        self._ends: dict[str, str] = {}  # of the last message of each stream's part: where the batch ends
        self._source = source
        self._sharding = digest(sorted(target.mappings.items()))

    @property
    def imported(self) -> int:
        """Messages of the source that are appended, by this run and earlier ones."""
        return sum(mark.imported for mark in self.marks.values())

    @property
    def is_sharded_otherwise(self) -> bool:
        """Whether a mark was made with other shards: then a message may be in another stream than it would be now."""
        now = (len(self.shards), self._sharding)
        return any(mark.shards and (mark.shards, mark.sharding) != now for mark in self.marks.values())

    async def read_marks(self) -> None:
        """From Redis. Raises what redis-py raises."""
        self.marks = {}
        wanted = len(self.shards)
        while len(self.marks) < wanted:  # those of a run with more shards, too
            shard = len(self.marks)
            self.marks[shard] = mark = await self.through_failover(partial(self._read_mark, shard))
            wanted = max(wanted, mark.shards)

    async def begin_at(self, position: str, imported: int) -> None:
        """Move all marks to a position, up to which so many messages are imported.

        The first shard comes last: until then it shows, if this is interrupted, that the marks were others.
        """
        for shard in reversed(self.shards):
            mark = self._mark(position, imported if shard == 0 else 0)
            await self.through_failover(partial(self._write, self._scripts_of(shard), shard, (), mark))
        self.marks = {shard: self.marks[shard] for shard in self.shards}

    def begin_batch(self, parts: Iterable[Sequence[Message]], up_to: str) -> None:
        """Say what is appended next: a stream that has all of its part has everything up to this position."""
        self._ends = {part[-1].position: up_to for part in parts}

    async def advance(self, shards: Iterable[int], position: str) -> None:
        """Move the marks of streams that get nothing up to this position."""
        for shard in shards:
            mark = self._mark(position, self.marks[shard].imported)
            await self.through_failover(partial(self._write, self._scripts_of(shard), shard, (), mark))

    async def run_script(self, scripts: Scripts, shard: int, messages: Sequence[Message]) -> tuple[int, int]:
        """Without those that an earlier attempt has appended, but could not confirm. Raises Moved."""
        mark, last = self.marks[shard], messages[-1].position
        up_to = self._ends.get(last, last)
        done = next((number for number, message in enumerate(messages, 1) if message.position == mark.position), 0)
        rest = () if mark.position == up_to else messages[done:]
        after = self._mark(up_to, mark.imported + len(rest))
        appended, length = await self._write(scripts, shard, rest, after)
        return len(messages) - len(rest) + appended, length

    async def _read_mark(self, shard: int) -> Mark:
        key = imports_of(shard)
        with errors_name_key(key):
            text: Any = await self.clients.of(key_of(shard)).hget(key, self._source.id)
        return Mark.parse(text, key)

    async def _write(self, scripts: Scripts, shard: int, messages: Sequence[Message], after: Mark) -> tuple[int, int]:
        words: list[str | bytes | int] = []
        for message in messages:
            position = import_id(self._source, message.position)
            words += (message.topic.encode(), message.payload, message.received_ms or _now_ms(), position)
        keys = [key_of(shard), imports_of(shard)]
        arguments = [self.room, self._source.id, self.marks[shard].text, after.text, *words]
        with errors_name_key(*keys):
            appended, length = await scripts.import_(keys=keys, args=arguments)
        if appended < 0:
            raise Moved
        if appended == len(messages):
            self.marks[shard] = after
        return appended, length

    def _mark(self, position: str, imported: int) -> Mark:
        fields = {
            "imported": imported,
            "position": position,
            "shards": len(self.shards),
            "sharding": self._sharding,
            "source": self._source.name,
        }
        text = json.dumps(fields, ensure_ascii=False)
        return Mark(imported, position, len(self.shards), self._sharding, text)

    def _scripts_of(self, shard: int) -> Scripts:
        return Scripts.of(self.clients.of(key_of(shard)))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def destination(settings: Settings, source: Source) -> AsyncIterator[Destination]:
    """The streams of REDIS_URL; raises what redis-py raises, Unusable and ConfigurationError, here or in an append."""
    async with appending.target(settings, *COMMANDS) as target:
        found = Destination(target, source)
        try:
            yield found
        finally:
            await found.aclose()
