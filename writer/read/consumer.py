"""One consumer of the group `writers` on one stream: read, claim, renew, settle, leave."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from redis.exceptions import RedisError, ResponseError

from traksense_ingest.shared.streams.client import BLOCK_MS, Clients, errors_name_key
from traksense_ingest.shared.streams.keys import GROUP, key_of, ledger_of
from traksense_ingest.shared.streams.scripts import Scripts
from traksense_ingest.writer.entry import Entry, parse_entry


class SettlementKey(NamedTuple):
    """What settled messages are counted by."""

    kind: str
    verdict: str  # the ledger's field for what became of them
    ignored_for: str = ""  # one of shared.messages.IGNORED_REASONS, where they are ignored
    mapping: str = ""  # that ignores them


# Redis's errors for a stream or a group that doesn't exist: for the key, for the group, and for a blocked reader.
_GONE = ("no such key", "NOGROUP", "the stream key no longer exists")

# What the writer runs on a stream and its ledger, from here, from its periodic tasks and from the scripts.
COMMANDS = (
    "XLEN {stream}",
    "XRANGE {stream} - +",
    f"XPENDING {{stream}} {GROUP}",
    f"XREADGROUP GROUP {GROUP} consumer STREAMS {{stream}} >",
    f"XACK {{stream}} {GROUP} 0-0",
    "XDEL {stream} 0-0",
    f"XCLAIM {{stream}} {GROUP} consumer 0 0-0",
    f"XAUTOCLAIM {{stream}} {GROUP} consumer 0 0-0",
    f"XGROUP CREATE {{stream}} {GROUP} 0",
    f"XGROUP DELCONSUMER {{stream}} {GROUP} consumer",
    f"XGROUP SETID {{stream}} {GROUP} 0",
    f"XINFO CONSUMERS {{stream}} {GROUP}",
    "XINFO GROUPS {stream}",
    "XINFO STREAM {stream}",
    "EXISTS {stream}",
    "HGET {ledger} field",
    "HGETALL {ledger}",
    "HINCRBY {ledger} field 1",
    "HSET {ledger} field 1",
)

DEAD_MS = 600_000  # a consumer that was idle for so long, with nothing pending, is deleted


class Consumer:
    """Raises what redis-py raises; every call may be repeated."""

    def __init__(self, clients: Clients, shard: int, name: str) -> None:
        self.stream = key_of(shard)
        self._ledger = ledger_of(shard)
        self.name = name
        self._client = clients.of(self.stream)
        self._scripts = Scripts.of(self._client)

    async def read(self, count: int, *, block: bool) -> list[Entry]:
        """New entries, at most `count`; with `block` it waits up to BLOCK_MS for the first."""
        try:
            with errors_name_key(self.stream):
                reply: Any = await self._client.xreadgroup(
                    GROUP, self.name, {self.stream: ">"}, count=count, block=BLOCK_MS if block else None
                )
        except ResponseError as error:
            await self._create_if_gone(error)
            return []
        return self._new(reply)

    async def read_pending(self, after: str, count: int, idle_ms: int) -> tuple[str | None, list[Entry]]:
        """Where to continue, None at the end, and this consumer's pending entries after an id: what was delivered, and
        lost by an error. Those that failed before only when they were idle for so long."""
        start = f"({after}" if after else "-"
        reply = await self._script(self._scripts.pending, self.name, start, count, idle_ms)
        return (reply[0].decode() or None, self._delivered(reply[1])) if reply else (None, [])

    async def claim(self, cursor: str, idle_ms: int, count: int) -> tuple[str, list[Entry]]:
        """The next cursor, "0-0" at the end of the pending entries, and entries that were idle for too long."""
        reply = await self._script(self._scripts.claim, self.name, idle_ms, cursor, count)
        return (reply[0].decode(), self._delivered(reply[1])) if reply else ("0-0", [])

    async def requeue_orphans(self) -> int:
        """Have entries delivered again that another client has taken from the group; returns how many."""
        return int(await self._script(self._scripts.requeue_orphans) or 0)

    async def renew_lease(self, entries: Iterable[Entry]) -> None:
        """Keep these from being claimed: their writer is alive."""
        await self._script(self._scripts.renew_lease, self.name, *(entry.id for entry in entries))

    async def settle(
        self, committed: Mapping[SettlementKey, Sequence[Entry]], duplicates: int = 0
    ) -> dict[SettlementKey, int]:
        """Acknowledge and remove these, and count `duplicates` rows of them that were in the tables already; returns
        how many of each key it removed. One that another writer has settled meanwhile counts there, not here."""
        arguments = _settle_arguments(committed, duplicates)
        removed = await self._script(self._scripts.settle, *arguments, keys=(self._ledger,))
        return dict(zip(committed, removed, strict=False))

    async def settle_and_read(
        self, committed: Mapping[SettlementKey, Sequence[Entry]], duplicates: int, count: int
    ) -> tuple[dict[SettlementKey, int], list[Entry]]:
        """`settle`, and in the same round trip `read` without waiting: Redis writes both to disk at once."""
        pipeline: Any = self._client.pipeline(transaction=False)
        arguments = _settle_arguments(committed, duplicates)
        pipeline.evalsha(self._scripts.settle.sha, 2, self.stream, self._ledger, GROUP, *arguments)
        pipeline.xreadgroup(GROUP, self.name, {self.stream: ">"}, count=count)
        removed, reply = await pipeline.execute(raise_on_error=False)
        entries = [] if isinstance(reply, RedisError) else self._new(reply)  # the next read meets the same error
        if isinstance(removed, RedisError):  # a server that was restarted doesn't know the script
            return await self.settle(committed, duplicates), entries
        return dict(zip(committed, removed, strict=True)), entries

    async def nack(self, entries: Iterable[Entry]) -> None:
        """Count a failed try against each of these and leave it pending."""
        tries = (value for entry in entries for value in (entry.id, entry.deliveries))
        await self._script(self._scripts.nack, self.name, *tries)

    async def leave(self) -> None:
        """Delete this consumer, unless it has entries pending."""
        await self._script(self._scripts.delete_idle_consumers, self.name, 0)

    async def delete_idle(self) -> None:
        """Delete the group's consumers that were idle for DEAD_MS and have nothing pending."""
        await self._script(self._scripts.delete_idle_consumers, "", DEAD_MS)

    async def _script(self, script: Any, *arguments: str | int, keys: tuple[str, ...] = ()) -> Any:
        try:
            with errors_name_key(self.stream, *keys):
                return await script(keys=[self.stream, *keys], args=[GROUP, *arguments])
        except ResponseError as error:
            await self._create_if_gone(error)
            return []

    async def _create_if_gone(self, error: ResponseError) -> None:
        """Create the group, and the stream, where they don't exist: from 0, so that nothing is skipped."""
        if not any(gone in str(error) for gone in _GONE):
            raise error
        with errors_name_key(self.stream):
            await self._scripts.create_group(keys=[self.stream], args=[GROUP])

    def _new(self, reply: Any) -> list[Entry]:
        return [parse_entry(self.stream, id_, fields) for id_, fields in (reply[0][1] if reply else ())]

    def _delivered(self, reply: list[Any]) -> list[Entry]:
        return [parse_entry(self.stream, id_, fields, deliveries) for id_, deliveries, fields in reply]


def _settle_arguments(committed: Mapping[SettlementKey, Sequence[Entry]], duplicates: int) -> Sequence[str | int]:
    """What settle.lua takes after the group."""
    sizes = [value for key, entries in committed.items() for value in (key.verdict, len(entries))]
    ids = [entry.id for entries in committed.values() for entry in entries]
    return duplicates, len(committed), *sizes, *ids
