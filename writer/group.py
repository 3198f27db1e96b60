"""One consumer of the group `writers` on one stream: read, claim, renew, settle, leave."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from shared.stream import BLOCK_MS, GROUP, Scripts, key_of, ledger_of, naming
from writer.entry import Entry, parse_entry

Class = tuple[str, str]  # the kind of a message, and the ledger's field for what became of it

# What Redis says of a stream or a group that isn't there: of the key, of the group, and to a reader that waits for it.
_GONE = ("no such key", "NOGROUP", "the stream key no longer exists")

# What the writer runs on a stream and its ledger, from here, from its monitor and from the scripts.
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

DEAD_MS = 3_600_000  # a consumer that was not heard of for so long, with nothing pending, is forgotten


class Group:
    """Raises what redis-py raises; every call may be repeated."""

    def __init__(self, client: Redis, shard: int, consumer: str) -> None:
        self.stream = key_of(shard)
        self._ledger = ledger_of(shard)
        self.consumer = consumer
        self._client = client
        self._scripts = Scripts(client)

    async def read(self, count: int, *, block: bool) -> list[Entry]:
        """New entries, at most `count`; with `block` it waits up to BLOCK_MS for the first."""
        try:
            with naming(self.stream):
                reply: Any = await self._client.xreadgroup(
                    GROUP, self.consumer, {self.stream: ">"}, count=count, block=BLOCK_MS if block else None
                )
        except ResponseError as error:
            await self._create_if_gone(error)
            return []
        entries = reply[0][1] if reply else []
        return [parse_entry(self.stream, id_, fields) for id_, fields in entries]

    async def read_pending(self, after: str, count: int, idle_ms: int) -> tuple[str | None, list[Entry]]:
        """This consumer's own pending entries behind an id: what an error left undelivered; and where to go on, None
        at the end. Those that failed before only when they were idle for so long."""
        start = f"({after}" if after else "-"
        reply = await self._script(self._scripts.pending, self.consumer, start, count, idle_ms)
        return (reply[0].decode() or None, self._delivered(reply[1])) if reply else (None, [])

    async def claim(self, cursor: str, idle_ms: int, count: int) -> tuple[str, list[Entry]]:
        """Entries that were idle for too long, and the next cursor, "0-0" at the end of the pending entries."""
        reply = await self._script(self._scripts.claim, self.consumer, idle_ms, cursor, count)
        return (reply[0].decode(), self._delivered(reply[1])) if reply else ("0-0", [])

    async def recover_adrift(self) -> int:
        """Have entries delivered again that other hands have taken from the group; returns how many."""
        return int(await self._script(self._scripts.adrift) or 0)

    async def renew(self, entries: Iterable[Entry]) -> None:
        """Keep these from being claimed: their writer lives."""
        await self._script(self._scripts.renew, self.consumer, *(entry.id for entry in entries))

    async def settle(self, classes: Mapping[Class, Sequence[Entry]], duplicates: int = 0) -> dict[Class, int]:
        """Acknowledge and remove these, as they are committed, and count `duplicates` rows of them that were there
        already; returns how many of each class it removed. One that another writer has settled meanwhile counts there,
        not here."""
        sizes = [value for (_, verdict), entries in classes.items() for value in (verdict, len(entries))]
        ids = [entry.id for entries in classes.values() for entry in entries]
        removed = await self._script(self._scripts.settle, duplicates, len(classes), *sizes, *ids, keys=(self._ledger,))
        return dict(zip(classes, removed, strict=False))

    async def failed(self, entries: Iterable[Entry]) -> None:
        """Count a failed try against each of these and leave it pending."""
        tries = (value for entry in entries for value in (entry.id, entry.deliveries))
        await self._script(self._scripts.failed, self.consumer, *tries)

    async def leave(self) -> None:
        """Delete this consumer, unless it has entries pending."""
        await self._script(self._scripts.leave, self.consumer, 0)

    async def forget_dead(self) -> None:
        """Delete the consumers that were not heard of for long and have nothing pending."""
        await self._script(self._scripts.leave, "", DEAD_MS)

    async def _script(self, script: Any, *arguments: str | int, keys: tuple[str, ...] = ()) -> Any:
        try:
            with naming(self.stream, *keys):
                return await script(keys=[self.stream, *keys], args=[GROUP, *arguments])
        except ResponseError as error:
            await self._create_if_gone(error)
            return []

    async def _create_if_gone(self, error: ResponseError) -> None:
        """The stream or its group isn't there: not yet, or no more. Created from 0, so that nothing is skipped."""
        if not any(gone in str(error) for gone in _GONE):
            raise error
        with naming(self.stream):
            await self._scripts.create_group(keys=[self.stream], args=[GROUP])

    def _delivered(self, reply: list[Any]) -> list[Entry]:
        return [parse_entry(self.stream, id_, fields, deliveries) for id_, deliveries, fields in reply]
