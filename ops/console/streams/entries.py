"""The entries of a stream, and which of them are pending: by commands that only read, and no more than a page shows."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError

from traksense_ingest.ops.console.streams.excerpt import Excerpt, excerpt
from traksense_ingest.ops.dlq.options import duration
from traksense_ingest.ops.terminal import printable
from traksense_ingest.shared.streams.keys import FIELDS, GROUP

T = TypeVar("T")
Raw = tuple[bytes, Mapping[bytes, bytes]]  # an id, and the fields

PAGE = 50  # entries
AT_ONCE = 4  # entries that are read first, then twice as many each time: each may have a MiB
BYTES_MAX = 4 * 1024 * 1024  # of a page: it ends with the entries that were read when there are more
PENDING_MAX = 200  # of the ids of a page: some may be of entries that were removed
VALUE_MAX = 200  # characters of a field that are shown
PART_MAX = 2**64 - 1
ID_MIN, ID_MAX = "0-0", f"{PART_MAX}-{PART_MAX}"
_ID = re.compile(r"([0-9]{1,20})(?:-([0-9]{1,20}))?")


class WrongStart(ValueError):
    """The given text is neither an id nor a time; the message is one line."""


class Range(NamedTuple):
    """Where a page begins: from this id on, or after one; or before which id it ends."""

    start: str = ID_MIN
    after: str | None = None
    before: str | None = None


class Pending(NamedTuple):
    """The consumer of an entry that is delivered and not settled."""

    consumer: str
    idle_s: float
    deliveries: int


@dataclass(frozen=True)
class Entry:
    """An entry, as text that is safe to print."""

    id: str
    at: datetime | None  # from its id: the time of Redis's clock
    topic: str | None
    received_at: datetime | str | None  # a text if it is not a time
    payload: Excerpt | None
    others: Mapping[str, str]  # its other fields
    pending: Pending | None


@dataclass(frozen=True)
class Entries:
    """A page of them, the oldest first."""

    shown: Sequence[Entry]
    after: str | None  # the next page begins after this id; None if there is none
    before: str | None  # the previous page ends before this id; None if there is none, or if it can't be read
    may_go_back: bool  # this user of Redis may run XREVRANGE
    is_pending_known: bool  # … and XPENDING


def id_of(text: str) -> str:
    """A complete id: `1700000000000-0`, of which the second part may be left out. Raises WrongStart."""
    found = _ID.fullmatch(text)
    if not found:
        raise WrongStart(f"{_quoted(text)} is not an id, such as 1700000000000-0")
    parts = [int(part) for part in found.groups(default="0")]
    if max(parts) > PART_MAX:
        raise WrongStart(f"{_quoted(text)} is not an id: each of its parts must be below 2^64")
    return f"{parts[0]}-{parts[1]}"


def start_of(text: str) -> str:
    """Where to begin: an id, or the lowest id of a time, as `2025-10-07T15:30:00Z` or `15m` before now.

    Raises WrongStart.
    """
    if _ID.fullmatch(text):
        return id_of(text)
    try:
        moment = datetime.now(UTC) - duration(text)
    except ValueError:
        moment = _moment(text)
    return f"{max(0, int(moment.timestamp() * 1000))}-0"


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        what = "an id (1700000000000-0) nor a time (2025-10-07T15:30:00Z, or 15m before now)"
        raise WrongStart(f"{_quoted(text)} is neither {what}") from None
    if moment.tzinfo is None:
        raise WrongStart(f"{_quoted(text)} has no Z or offset, unlike 2025-10-07T15:30:00Z")
    return moment


def _quoted(text: str) -> str:
    return f"“{printable(text[:60])}”"


async def read_entries(client: Redis, stream: str, range_: Range) -> Entries:
    """A page. Raises what redis-py raises."""
    found: list[Raw] = []
    start, has_more = range_.start, False
    if range_.before is not None:
        found = await _unless_refused(_before(client, stream, range_.before, PAGE)) or []
        has_more = True
    elif range_.after is not None:
        start = range_.after
        found, has_more = await _page(client, stream, f"({start}") if start != ID_MAX else ([], False)
    if not found and range_.after is None:  # or the entries before it are settled meanwhile
        found, has_more = await _page(client, stream, start)
    ids = [id_.decode() for id_, _ in found]
    first = ids[0] if ids else start
    earlier = await _unless_refused(_before(client, stream, first, 1))
    pending = await _unless_refused(_pending(client, stream, ids))
    return Entries(
        await asyncio.to_thread(_entries, ids, found, pending or {}),
        ids[-1] if ids and has_more else None,
        first if earlier else None,
        earlier is not None,
        pending is not None,
    )


async def _page(client: Redis, stream: str, start: str) -> tuple[list[Raw], bool]:
    """From there on, and whether there are more."""
    found = await _read(client.xrange, stream, start, "+", PAGE + 1)
    has_more = len(found) > PAGE or _is_large(found)
    return found[:PAGE], has_more


async def _before(client: Redis, stream: str, id_: str, most: int) -> list[Raw]:
    """The last ones before an entry."""
    found = await _read(client.xrevrange, stream, f"({id_}", "-", most) if id_ != ID_MIN else []
    return found[::-1]


async def _read(command: Any, stream: str, first: str, last: str, most: int) -> list[Raw]:
    """A few entries first, then more at a time if they are small. Large entries: fewer than `most`."""
    found: list[Raw] = []
    count = AT_ONCE
    while len(found) < most and not _is_large(found):
        some = await command(stream, first, last, count=min(count, most - len(found)))
        found += some
        if len(some) < count:
            break
        room = (BYTES_MAX - _size(found)) * len(found) // max(1, _size(found))  # entries like these
        first, count = f"({some[-1][0].decode()}", max(1, min(2 * count, room))
    return found


def _is_large(found: Sequence[Raw]) -> bool:
    return _size(found) >= BYTES_MAX


def _size(found: Sequence[Raw]) -> int:
    return sum(len(value) for _, fields in found for value in fields.values())


async def _pending(client: Redis, stream: str, ids: Sequence[str]) -> dict[str, Pending]:
    """Those of a page, by id."""
    try:
        rows: Any = await client.xpending_range(stream, GROUP, ids[0], ids[-1], PENDING_MAX) if ids else []
    except NoPermissionError:
        raise
    except ResponseError as error:
        if "NOGROUP" in str(error):  # no writer has created the group yet
            return {}
        raise
    return {
        row["message_id"].decode(): Pending(
            printable(row["consumer"].decode(errors="backslashreplace")),
            row["time_since_delivered"] / 1000,
            row["times_delivered"],
        )
        for row in rows
    }


async def _unless_refused(reading: Awaitable[T]) -> T | None:
    """None if this user of Redis may not run the command."""
    try:
        return await reading
    except NoPermissionError:
        return None


def _entries(ids: Sequence[str], found: Sequence[Raw], pending: Mapping[str, Pending]) -> list[Entry]:
    """As shown. In a thread: 50 payloads may be unpacked to a MiB each."""
    return [_entry(id_, fields, pending.get(id_)) for id_, (_, fields) in zip(ids, found, strict=True)]


def _entry(id_: str, fields: Mapping[bytes, bytes], pending: Pending | None) -> Entry:
    topic, payload, received_at = (fields.get(name) for name in FIELDS)
    return Entry(
        id_,
        _time(id_.partition("-")[0]),
        None if topic is None else _text(topic),
        None if received_at is None else _time(_text(received_at)) or _text(received_at),
        None if payload is None else excerpt(payload),
        {_text(name): _text(value) for name, value in fields.items() if name not in FIELDS},
        pending,
    )


def _time(milliseconds: str) -> datetime | None:
    """None if it is not a number, or too large for a time."""
    if not re.fullmatch(r"[0-9]{1,14}", milliseconds):
        return None
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)


def _text(value: bytes) -> str:
    text = printable(value[: 4 * VALUE_MAX].decode(errors="backslashreplace"))
    return text if len(text) <= VALUE_MAX else f"{text[:VALUE_MAX]}…"
