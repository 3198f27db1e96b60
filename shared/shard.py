"""What one stream and its ledger say, read in one step."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, ResponseError

from shared.ledger import ID_0, Ledger
from shared.stream import GROUP, REMAINING, key_of, ledger_of, naming


@dataclass(frozen=True)
class Consumer:
    """A lane of a writer: its pending entries, and how long it was silent."""

    name: str
    pending: int
    idle_ms: int


@dataclass(frozen=True, kw_only=True)
class Shard(Ledger):
    """A stream, its ledger and its consumers at one instant."""

    oldest_s: float = 0.0  # age of the oldest entry, by Redis's own clock
    consumers: tuple[Consumer, ...] = ()
    remaining: int = 0  # entries up to the id that was asked about, 0 where none was
    is_counted: bool = False  # `looks` has grown by one since

    @property
    def pending(self) -> int:
        """Entries that are delivered and not settled."""
        return sum(consumer.pending for consumer in self.consumers)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        figures = asdict(self)
        del figures["remaining"], figures["looks"], figures["is_counted"]
        return {**figures, "pending": self.pending, "missing": self.missing}


async def read_shard(client: Redis, number: int, *, is_counted: bool = False, up_to: str = ID_0) -> Shard:
    """One look, with the entries up to an id counted where one is given. A stream that isn't there is empty.

    With `is_counted` the look is written down in the ledger afterwards. Raises what redis-py raises.
    """
    stream, hash_ = key_of(number), ledger_of(number)
    transaction = client.pipeline(transaction=True)
    transaction.xinfo_stream(stream)
    transaction.xinfo_consumers(stream, GROUP)
    transaction.time()
    transaction.hgetall(hash_)
    transaction.eval_ro(REMAINING, 1, stream, up_to)
    if is_counted:
        transaction.hincrby(hash_, "looks", 1)
    replies = await transaction.execute(raise_on_error=False)
    for key, reply in zip((stream, stream, stream, hash_, stream, hash_), replies, strict=False):
        with naming(key):
            _raise_unless_absent(reply)
    info, consumers, now, ledger, remaining = replies[:5]
    info = {} if isinstance(info, ResponseError) else info
    return Shard(
        stream=stream,
        added=int(info.get("entries-added", 0)),
        stored=int(ledger.get(b"stored", 0)),
        dead_lettered=int(ledger.get(b"dead_lettered", 0)),
        removed=int(ledger.get(b"removed", 0)),
        duplicates=int(ledger.get(b"duplicates", 0)),
        looks=int(ledger.get(b"looks", 0)),
        in_stream=int(info.get("length", 0)),
        last_id=info.get("last-generated-id", ID_0.encode()).decode(),
        oldest_s=_age(info.get("first-entry"), now),
        consumers=() if isinstance(consumers, ResponseError) else tuple(map(_consumer, consumers)),
        remaining=remaining,
        is_counted=is_counted,
    )


async def read_after(client: Redis, number: int, before: Ledger, *, is_counted: bool = False) -> Shard:
    """A look after another one. Where it does not follow from that one, the entries up to its last id are counted: in a
    long stream that holds Redis up for some tens of ms. A Redis without memory can't count looks."""
    try:
        now = await read_shard(client, number, is_counted=is_counted)
    except OutOfMemoryError:
        now = await read_shard(client, number)
    if before.precedes(now):
        return now
    again = await read_shard(client, number, up_to=before.last_id)
    return replace(again, looks=now.looks, is_counted=now.is_counted)


def _raise_unless_absent(reply: object) -> None:
    """No stream or no group yet is an answer; anything else that is an error is one."""
    if isinstance(reply, Exception) and not ("no such key" in str(reply) or "NOGROUP" in str(reply)):
        raise reply


def _consumer(info: dict[str, Any]) -> Consumer:
    return Consumer(info["name"].decode(), int(info["pending"]), int(info["idle"]))


def _age(entry: Any, now: tuple[int, int]) -> float:
    """Seconds between an entry's id and Redis's own clock; 0 without one."""
    if not entry:
        return 0.0
    ms = int(entry[0].partition(b"-")[0])
    return max(0.0, now[0] + now[1] / 1e6 - ms / 1000)
