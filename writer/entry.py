"""An entry of the stream, as a writer takes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from traksense_ingest.shared.streams.keys import FIELDS, IMPORT_ID, REPLAYED, RETAINED

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


LAST_US = 253_402_300_799_000_000  # the last second of year 9999, where Python's datetime ends
PLAUSIBLE_MS = range(946_684_800_000, LAST_US // 1000)  # from 2000 on
MS_DIGITS_MAX = len(str(PLAUSIBLE_MS.stop))

_IMPORT_ID = re.compile(rb"import:[!-~]{1,200}")  # short enough for the index of dead letters


def moment(ms: int, us: int = 0) -> datetime:
    """The time so long after the epoch, at most year 9999: an id that was made by hand may be any number."""
    return EPOCH + timedelta(0, 0, min(ms * 1000 + us, LAST_US))


class Entry(NamedTuple):
    """One message and its place in the stream. A field that is missing, in an entry added by hand, is None."""

    stream: str
    id: str  # ms-sequence
    topic: bytes | None
    payload: bytes | None
    received_at: datetime  # when a receiver got it from the broker
    deliveries: int  # tries, this one included
    retained: bool = False  # the broker's copy of a message that a device sent at some time before
    replayed: bool = False  # a dead letter that was replayed, or imported: it was received long before it was appended
    import_id: str | None = None  # import:…, the same however often the message is imported

    @property
    def appended_at(self) -> datetime:
        """When it was appended, with the sequence as µs: unique in the stream, and the same at each delivery."""
        ms, _, sequence = self.id.partition("-")
        return moment(int(ms), int(sequence))


def parse_entry(stream: str, entry_id: bytes, fields: Sequence[bytes], deliveries: int = 1) -> Entry:
    """An entry from Redis's reply: its id, and its fields and values alternating."""
    id_ = entry_id.decode()
    if len(fields) == 6 and (fields[0], fields[2], fields[4]) == FIELDS:  # as nearly all of them are
        return Entry(stream, id_, fields[1], fields[3], _received_at(fields[5], id_), deliveries)
    by_name = dict(zip(fields[::2], fields[1::2], strict=True))
    topic, payload, received_at = (by_name.get(name) for name in FIELDS)
    retained, replayed = by_name.get(RETAINED) == b"1", by_name.get(REPLAYED) == b"1"
    import_id = _import_id(by_name.get(IMPORT_ID))
    return Entry(stream, id_, topic, payload, _received_at(received_at, id_), deliveries, retained, replayed, import_id)


def _import_id(value: bytes | None) -> str | None:
    return value.decode() if value and _IMPORT_ID.fullmatch(value) else None


def _received_at(value: bytes | None, entry_id: str) -> datetime:
    """By the receiver's clock; by the entry's id where the field is no plausible time."""
    if value and len(value) <= MS_DIGITS_MAX and (received_at := _plausible(value)):
        return received_at
    return moment(int(entry_id.partition("-")[0]))


@lru_cache(maxsize=1024)
def _plausible(value: bytes) -> datetime | None:
    """A time in ms; at a high rate many entries have the same."""
    try:
        ms = int(value)
    except ValueError:
        return None
    return moment(ms) if ms in PLAUSIBLE_MS else None
