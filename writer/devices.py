"""What is known of each device, written seldom: when it is new, when it moved, and once a minute."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from writer.outcome import Sighting

REFRESH = timedelta(minutes=1)  # how old last_seen may be
SETTLED = timedelta(seconds=5)  # a meta that changes with each message must not make a hot row
REMEMBERED = 100_000  # devices, some 50 MB; one that is forgotten is written once more

Key = tuple[str, str]


class Known(NamedTuple):
    """What was last written of a device; of its meta, which may be a megabyte, the hash."""

    site_id: str
    meta: int
    seen: datetime


def one_of_each_device(sightings: Iterable[Sighting]) -> list[Sighting]:
    """The last sighting of each, with the last meta that there was."""
    latest: dict[Key, Sighting] = {}
    for sighting in sightings:
        key = sighting[:2]
        latest[key] = _merge(latest.get(key), sighting)
    return list(latest.values())


class DeviceRegistry:
    """Remembers what this process last wrote of each device. Shared by its lanes."""

    def __init__(self) -> None:
        self._written: OrderedDict[Key, Known] = OrderedDict()
        self._withheld: dict[Key, Sighting] = {}

    def due(self, sightings: Iterable[Sighting]) -> list[Sighting]:
        """Which of a batch's devices, one sighting of each, to write with it; sorted by key so that two writers can't
        deadlock. Remembers nothing: the transaction may fail."""
        return sorted(sighting for sighting in sightings if self._is_due(sighting, sighting.seen))

    def committed(self, sightings: Iterable[Sighting], due: Iterable[Sighting]) -> None:
        """The batch of these sightings is committed, and with it the rows that were due. A change that came too soon
        after the last one is withheld, for `overdue`."""
        self.written(due)
        for sighting in sightings:
            key = sighting[:2]
            if (known := self._written.get(key)) and _differs(sighting, known):
                self._withheld[key] = _merge(self._withheld.get(key), sighting)

    def overdue(self, now: datetime) -> list[Sighting]:
        """The withheld changes whose time has come, sorted by key."""
        return sorted(sighting for sighting in self._withheld.values() if self._is_due(sighting, now))

    def written(self, sightings: Iterable[Sighting]) -> None:
        """These rows are committed, or given up."""
        for sighting in sightings:
            key = sighting[:2]
            self._written[key] = Known(sighting.site_id, hash(sighting.meta), sighting.seen)
            self._written.move_to_end(key)
            self._withheld.pop(key, None)
        while len(self._written) > REMEMBERED:
            self._written.popitem(last=False)

    def _is_due(self, sighting: Sighting, now: datetime) -> bool:
        known = self._written.get(sighting[:2])
        if known is None or abs(sighting.seen - known.seen) >= REFRESH:  # a clock may step back
            return True
        return abs(now - known.seen) >= SETTLED and _differs(sighting, known)


def _differs(new: Sighting, known: Known) -> bool:
    return new.site_id != known.site_id or (new.meta is not None and hash(new.meta) != known.meta)


def _merge(old: Sighting | None, new: Sighting) -> Sighting:
    if old is None or new.meta is not None:
        return new
    return new._replace(meta=old.meta)
