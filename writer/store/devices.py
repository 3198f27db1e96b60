"""The table device, written rarely: when a device is new, when its site or meta changes, and once a minute. And which
points of it are written: when one is new, and once an hour."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

from traksense_ingest.writer.decode.measures import Measures
from traksense_ingest.writer.outcome import Sighting
from traksense_ingest.writer.store.device_state import NOTHING, DeviceState, Heard, Key
from traksense_ingest.writer.store.points import NONE, NewPoints, Points, PointSets

REFRESH = timedelta(minutes=1)  # how old last_seen may be
MIN_UPDATE_INTERVAL = timedelta(seconds=5)  # a meta that changes with each message must not update its row each time
REMEMBERED = 100_000  # devices, some 40 MB; one that is evicted is written once more
POINTS_EVERY_S = 3600  # points are written again: a unit may have changed, or somebody may have deleted rows

_name = itemgetter(0)  # of a reading, and of a point with its unit


class DeviceRow(NamedTuple):
    """What is written of a device: the columns of a sighting, and what its messages say of its interval and clock."""

    tenant_id: str
    device_id: str
    site_id: str
    meta: str | None
    seen: datetime
    reading: datetime | None = None  # the newest timestamp of its telemetry
    delay_s: float | None = None  # receipt minus that timestamp
    messages: int = 0  # since this process wrote the last row; 0 where it has written none


def one_of_each_device(sightings: Iterable[Sighting]) -> list[Sighting]:
    """The last sighting of each, with the last meta of any."""
    latest: dict[Key, Sighting] = {}
    for sighting in sightings:
        key = sighting[:2]
        latest[key] = _merge(latest.get(key), sighting)
    return list(latest.values())


class DeviceRegistry:
    """Remembers the row that this process last wrote of each device. Shared by its lanes."""

    def __init__(self) -> None:
        self._written: dict[Key, DeviceState] = {}  # the least recently written first
        self._postponed: dict[Key, Sighting] = {}
        self._sets = PointSets()

    def due(self, sightings: Iterable[Sighting]) -> list[Sighting]:
        """Which of a batch's devices, one sighting of each, to write with it; sorted by key so that two writers can't
        deadlock. Remembers nothing: the transaction may fail."""
        return sorted(sighting for sighting in sightings if self._is_due(sighting, sighting.seen))

    def unknown(self, sightings: Iterable[Sighting]) -> list[Sighting]:
        """Those of devices that this process has written nothing of, sorted by key."""
        return sorted(sighting for sighting in sightings if sighting[:2] not in self._written)

    def new_points(self, messages: Iterable[Measures]) -> list[NewPoints]:
        """The points of a batch to write with it, each once. Remembers nothing, as above."""
        written, added, new = self._written, dict[Key, Points](), list[NewPoints]()
        for message in messages:
            key = message.tenant_id, message.device_id
            state = written.get(key)
            known = state.points if state else NONE
            if known.issuperset(map(_name, message.readings)):
                continue
            known |= added.get(key, NONE)
            if units := tuple((name, unit) for name, _, _, _, unit in message.readings if name not in known):
                added[key] = known.union(map(_name, units))
                new.append(NewPoints(*key, message.ts, units))
        return new

    def rows(self, sightings: Iterable[Sighting], heard: Heard = NOTHING) -> list[DeviceRow]:
        """What to write of these, with what the batch has of them. Remembers nothing, as above."""
        return [self._row(sighting, heard) for sighting in sightings]

    def committed(
        self,
        sightings: Iterable[Sighting],
        due: Iterable[Sighting],
        points: Iterable[NewPoints],
        heard: Heard = NOTHING,
    ) -> None:
        """The batch of these sightings is committed, and with it the rows that were due, and those of new points. A
        change that came too soon after the last one is postponed, for `overdue`."""
        written, readings, several = self._written, heard.readings, heard.several
        for sighting in sightings:
            key = sighting[:2]
            if known := written.get(key):
                known.hear(sighting.seen, readings.get(key), several.get(key) if several else None)
                if known.differs(sighting):
                    self._postponed[key] = _merge(self._postponed.get(key), sighting)
        self.written(due)
        self._remember(points)

    def overdue(self, now: datetime) -> list[Sighting]:
        """The postponed changes that are due, sorted by key."""
        return sorted(sighting for sighting in self._postponed.values() if self._is_due(sighting, now))

    def written(self, sightings: Iterable[Sighting]) -> None:
        """These rows are committed, or dropped."""
        for sighting in sightings:
            key = sighting[:2]
            known = self._written.pop(key, None)
            if known is None:
                known = DeviceState(sighting)
            else:
                if _hour(key, known.seen) != _hour(key, sighting.seen):
                    known.points = NONE
                known.write(sighting)
            self._written[sys.intern(key[0]), key[1]] = known
            self._postponed.pop(key, None)
        if len(self._written) > REMEMBERED:
            self._forget_some()

    def _remember(self, points: Iterable[NewPoints]) -> None:
        """Those of a device of which no row was written are written again with its next message."""
        for new in points:
            if known := self._written.get(new[:2]):
                known.points = self._sets.joined(known.points, [point for point, _ in new.units])
        if self._sets.are_too_many:
            self._sets.keep(state.points for state in self._written.values())
            while self._sets.are_too_many:
                self._forget_some()
                self._sets.keep(state.points for state in self._written.values())

    def _forget_some(self) -> None:
        """A tenth at once: the first key of a dict is found by passing all removed ones."""
        for key in list(islice(self._written, len(self._written) // 10 + 1)):
            del self._written[key]

    def _is_due(self, sighting: Sighting, now: datetime) -> bool:
        known = self._written.get(sighting[:2])
        if known is None or abs(sighting.seen - known.seen) >= REFRESH:  # a clock may step back
            return True
        return abs(now - known.seen) >= MIN_UPDATE_INTERVAL and known.differs(sighting)

    def _row(self, sighting: Sighting, heard: Heard) -> DeviceRow:
        key, seen = sighting[:2], sighting.seen
        reading, messages = heard.readings.get(key), 0
        if known := self._written.get(key):
            messages = known.messages
            if heard is not NOTHING:
                messages += known.count(seen - known.last, reading, heard.several.get(key))
        delay_s = None if reading is None else (seen - reading).total_seconds()
        return DeviceRow(*sighting, reading, delay_s, messages)


def _hour(key: Key, seen: datetime) -> int:
    """A number that changes once an hour, for each device at another minute."""
    return int(seen.timestamp() + hash(key) % POINTS_EVERY_S) // POINTS_EVERY_S


def _merge(old: Sighting | None, new: Sighting) -> Sighting:
    if old is None or new.meta is not None:
        return new
    return new._replace(meta=old.meta)
