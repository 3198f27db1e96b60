"""A snapshot of one stream, its ledger and its consumers, read in one atomic step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from redis.exceptions import ResponseError

from traksense_ingest.shared.streams.client import Clients
from traksense_ingest.shared.streams.keys import GROUP, key_of, ledger_of, number_of
from traksense_ingest.shared.streams.ledger import ID_0, Ledger
from traksense_ingest.shared.streams.scripts import Scripts

COUNTS = ("stored", "dead_lettered", "ignored", "removed", "duplicates", "revision")  # a ledger's fields; no others
_OLD_NAMES = {"revision": "looks"}  # in a ledger that only the version before has written


@dataclass(frozen=True)
class ConsumerInfo:
    """A lane of a writer: its pending entries, and how long it has been idle."""

    name: str
    pending: int
    idle_ms: int


@dataclass(frozen=True, kw_only=True)
class StreamSnapshot(Ledger):
    """A stream, its ledger and its consumers at one instant."""

    oldest_s: float = 0.0  # age of the oldest entry, by Redis's own clock
    consumers: tuple[ConsumerInfo, ...] = ()
    remaining: int = 0  # entries up to the id that was asked about, 0 if none was
    is_counted: bool = False  # the ledger's revision has grown by one since

    @property
    def pending(self) -> int:
        """Entries that are delivered and not settled."""
        return sum(consumer.pending for consumer in self.consumers)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        figures = asdict(self)
        del figures["remaining"], figures["revision"], figures["is_counted"]
        return {**figures, "pending": self.pending, "missing": self.missing}


async def read_snapshot(
    clients: Clients, number: int, *, is_counted: bool = False, up_to: str = ID_0
) -> StreamSnapshot:
    """A snapshot of a shard; `remaining` are its entries up to that id. A stream that doesn't exist is empty.

    With `is_counted` the ledger's revision grows by one afterwards, if this user may write. Raises what redis-py does.
    """
    stream = key_of(number)
    reply = await Scripts.of(clients.of(stream)).snapshot(
        keys=[stream, ledger_of(number)], args=[GROUP, up_to, int(is_counted)]
    )
    added, length, last_id, first_id, fields, consumers, seconds, microseconds, remaining, counted = reply
    return StreamSnapshot(
        stream=stream,
        added=added,
        **_counts(ledger_of(number), dict(zip(fields[::2], fields[1::2], strict=True))),
        in_stream=length,
        last_id=last_id.decode(),
        oldest_s=_age(first_id, seconds + microseconds / 1e6),
        consumers=tuple(
            ConsumerInfo(name.decode(errors="backslashreplace"), pending, idle) for name, pending, idle in consumers
        ),
        remaining=remaining,
        is_counted=bool(counted),
    )


async def read_snapshot_after(
    clients: Clients, number: int, before: Ledger, *, is_counted: bool = False
) -> StreamSnapshot:
    """A snapshot with what `before.gone_in` needs, if it is no successor of that one."""
    return await with_remaining(clients, before, await read_snapshot(clients, number, is_counted=is_counted))


async def with_remaining(clients: Clients, before: Ledger, now: StreamSnapshot) -> StreamSnapshot:
    """If it is no successor of the one before, another snapshot in which the entries up to that one's last id are
    counted: in a long stream that holds Redis up for some tens of ms."""
    if before.precedes(now):
        return now
    again = await read_snapshot(clients, number_of(now.stream), up_to=before.last_id)
    return replace(again, revision=now.revision, is_counted=now.is_counted)


def _age(id_: bytes, now_s: float) -> float:
    """Seconds between an entry's id and Redis's own clock; 0 without one."""
    return max(0.0, now_s - int(id_.partition(b"-")[0]) / 1000) if id_ else 0.0


def _counts(key: str, ledger: Mapping[bytes, bytes]) -> dict[str, int]:
    fields = {name: name if name.encode() in ledger else _OLD_NAMES.get(name, name) for name in COUNTS}
    return {name: _count(key, field, ledger.get(field.encode(), b"0")) for name, field in fields.items()}


def _count(key: str, field: str, value: bytes) -> int:
    try:
        return int(value)
    except ValueError:
        raise ResponseError(f"{key}: field {field} is {value!r}, no number") from None
