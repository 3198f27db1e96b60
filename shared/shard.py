"""What one stream and its ledger say, read in one step."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from shared.ledger import ID_0, Ledger
from shared.stream import GROUP, Scripts, key_of, ledger_of

COUNTS = ("stored", "dead_lettered", "removed", "duplicates", "looks")  # a ledger's fields; others are not ours


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

    With `is_counted` the look is written down in the ledger afterwards, if this user may. Raises what redis-py raises.
    """
    stream = key_of(number)
    reply = await Scripts(client).look(keys=[stream, ledger_of(number)], args=[GROUP, up_to, int(is_counted)])
    added, length, last_id, first_id, fields, consumers, seconds, microseconds, remaining, counted = reply
    ledger = dict(zip(fields[::2], fields[1::2], strict=True))
    counts = {name: _count(ledger_of(number), name, ledger.get(name.encode(), b"0")) for name in COUNTS}
    return Shard(
        stream=stream,
        added=added,
        **counts,
        in_stream=length,
        last_id=last_id.decode(),
        oldest_s=_age(first_id, seconds + microseconds / 1e6),
        consumers=tuple(
            Consumer(name.decode(errors="backslashreplace"), pending, idle) for name, pending, idle in consumers
        ),
        remaining=remaining,
        is_counted=bool(counted),
    )


async def read_after(client: Redis, number: int, before: Ledger, *, is_counted: bool = False) -> Shard:
    """A look after another one. Where it does not follow from that one, the entries up to its last id are counted: in a
    long stream that holds Redis up for some tens of ms."""
    now = await read_shard(client, number, is_counted=is_counted)
    if before.precedes(now):
        return now
    again = await read_shard(client, number, up_to=before.last_id)
    return replace(again, looks=now.looks, is_counted=now.is_counted)


def _age(id_: bytes, now_s: float) -> float:
    """Seconds between an entry's id and Redis's own clock; 0 without one."""
    return max(0.0, now_s - int(id_.partition(b"-")[0]) / 1000) if id_ else 0.0


def _count(key: str, field: str, value: bytes) -> int:
    try:
        return int(value)
    except ValueError:
        raise ResponseError(f"{key}: field {field} is {value!r}, no number") from None
