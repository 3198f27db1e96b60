"""What one stream says of itself, read in one step."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from shared.stream import GROUP, key_of, ledger_of


@dataclass(frozen=True)
class Consumer:
    """A lane of a writer: its pending entries, and how long it was silent."""

    name: str
    pending: int
    idle_ms: int


@dataclass(frozen=True)
class Shard:
    """A stream and its ledger at one instant."""

    stream: str
    added: int  # entries that were ever added
    in_stream: int  # the backlog
    stored: int  # messages that were settled as stored
    dead_lettered: int  # … and as dead letters
    oldest_s: float  # age of the oldest entry
    consumers: tuple[Consumer, ...] = ()

    @property
    def missing(self) -> int:
        """Entries that left the stream without a writer: other hands removed them (XDEL, XTRIM). Below zero, the
        stream was deleted with all that was in it, and has begun anew."""
        return self.added - self.stored - self.dead_lettered - self.in_stream

    @property
    def pending(self) -> int:
        """Entries that are delivered and not settled."""
        return sum(consumer.pending for consumer in self.consumers)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "pending": self.pending, "missing": self.missing}


async def read_shard(client: Redis, number: int) -> Shard:
    """Raises what redis-py raises. A stream that isn't there is empty."""
    stream = key_of(number)
    transaction = client.pipeline(transaction=True)
    transaction.xinfo_stream(stream)
    transaction.hgetall(ledger_of(number))
    transaction.xinfo_consumers(stream, GROUP)
    transaction.time()
    info, ledger, consumers, now = await transaction.execute(raise_on_error=False)
    for reply in (info, ledger, consumers, now):
        _raise_unless_absent(reply)
    info = {} if isinstance(info, ResponseError) else info
    return Shard(
        stream,
        added=int(info.get("entries-added", 0)),
        in_stream=int(info.get("length", 0)),
        stored=int(ledger.get(b"stored", 0)),
        dead_lettered=int(ledger.get(b"dead_lettered", 0)),
        oldest_s=_age(info.get("first-entry"), now),
        consumers=() if isinstance(consumers, ResponseError) else tuple(map(_consumer, consumers)),
    )


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
