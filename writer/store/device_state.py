"""What a writer remembers of a device between two rows: the row, its points, and how often it sends."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from operator import attrgetter, itemgetter
from typing import NamedTuple

from traksense_ingest.writer.decode.measures import Measures
from traksense_ingest.writer.outcome import Sighting
from traksense_ingest.writer.store.points import NONE, Points

Key = tuple[str, str]  # tenant and device

SPACING = timedelta(seconds=1)  # messages that came closer together count as one
BACKWARDS = timedelta(minutes=-1)  # a receiver's clock that was set back by more is followed
NO_TIME = timedelta()

key_of = itemgetter(0, 1)  # of a sighting
_device, _ts = attrgetter("tenant_id", "device_id"), attrgetter("ts")  # of a message's rows


class Several(NamedTuple):
    """Of a device with more than one message in a batch."""

    messages: int
    received: timedelta  # from the receipt of the first one to that of the last one
    readings: timedelta  # from the oldest reading to the newest one

    @property
    def counted(self) -> int:
        """How many messages to count: one where readings come late."""
        return 1 if _is_late(self.readings, self.received) else min(self.messages, 1 + self.received // SPACING)


class Heard(NamedTuple):
    """What a batch has of devices, besides their sightings."""

    readings: Mapping[Key, datetime] = {}  # the newest of each, by its own clock
    several: Mapping[Key, Several] = {}


NOTHING = Heard()


def heard(sightings: Sequence[Sighting], devices: int, messages: Sequence[Measures]) -> Heard:
    """Of a batch with so many devices, retained and replayed messages left out."""
    readings = dict(zip(map(_device, messages), map(_ts, messages), strict=True))
    if len(readings) < len(messages):
        for one in messages:
            key = one.tenant_id, one.device_id
            readings[key] = max(readings[key], one.ts)
    return Heard(readings, _several(sightings, messages, readings) if len(sightings) > devices else {})


def _several(
    sightings: Sequence[Sighting], messages: Sequence[Measures], newest: Mapping[Key, datetime]
) -> dict[Key, Several]:
    counts = Counter(map(key_of, sightings))
    first = {key_of(sighting): sighting.seen for sighting in reversed(sightings)}
    last = {key_of(sighting): sighting.seen for sighting in sightings}
    oldest = dict(newest)
    for one in messages:
        key = one.tenant_id, one.device_id
        oldest[key] = min(oldest[key], one.ts)
    return {
        key: Several(count, last[key] - first[key], _between(oldest.get(key), newest.get(key)))
        for key, count in counts.items()
        if count > 1
    }


def _between(oldest: datetime | None, newest: datetime | None) -> timedelta:
    return newest - oldest if newest and oldest else NO_TIME


def _is_late(readings: timedelta, received: timedelta) -> bool:
    """Readings that are much further apart than their receipts, such as those of an outage, which come all at once; and
    one that is older than the one before."""
    return readings > received + received + SPACING or readings < NO_TIME


class DeviceState:
    """The row last written of a device; of its meta, which may be a megabyte, only the hash. And its points.

    Of its last message `last` is when it was received, and `reading` its newest timestamp; `messages` have come since
    the row.
    """

    __slots__ = ("last", "messages", "meta", "points", "reading", "seen", "site_id")

    def __init__(self, sighting: Sighting) -> None:
        self.points: Points = NONE
        self.last = sighting.seen
        self.reading: datetime | None = None
        self.write(sighting)

    def write(self, sighting: Sighting) -> None:
        """This is its row. A name that many devices share is kept once."""
        self.site_id = sys.intern(sighting.site_id)
        self.meta = None if sighting.meta is None else hash(sighting.meta)
        self.seen = sighting.seen
        self.messages = 0

    def differs(self, new: Sighting) -> bool:
        """Whether the row does not say what the sighting does."""
        return new.site_id != self.site_id or (new.meta is not None and hash(new.meta) != self.meta)

    def count(self, gap: timedelta, reading: datetime | None, several: Several | None) -> int:
        """How many messages to count, so long after the last one: none where they come late."""
        if gap < SPACING:
            return 0
        if reading is not None and self.reading is not None and _is_late(reading - self.reading, gap):
            return 0
        return several.counted if several else 1

    def hear(self, seen: datetime, reading: datetime | None, several: Several | None) -> None:
        """Messages are committed, the last of which was received then."""
        gap = seen - self.last
        if BACKWARDS < gap < SPACING:
            return
        self.messages += self.count(gap, reading, several)
        self.last, self.reading = seen, reading
