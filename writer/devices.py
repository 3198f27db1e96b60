"""What is known of each device, written seldom: when it is new, when it moved, and once a minute."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime, timedelta

from writer.outcome import Sighting

REFRESH = timedelta(minutes=1)  # how old last_seen may be
SETTLED = timedelta(seconds=5)  # a meta that changes with each message must not make a hot row
REMEMBERED = 100_000  # devices, some 50 MB; one that is forgotten is written once more

Key = tuple[str, str]


class DeviceRegistry:
    """Remembers what this process last wrote of each device. Shared by its lanes."""

    def __init__(self) -> None:
        self._written: OrderedDict[Key, Sighting] = OrderedDict()
        self._withheld: dict[Key, Sighting] = {}

    def due(self, sightings: Iterable[Sighting]) -> list[Sighting]:
        """The devices to write now, one row each, sorted by key so that two writers can't deadlock.

        A change that comes too soon after the last one is withheld, and is due with a later batch.
        """
        latest = dict(self._withheld)
        for sighting in sightings:
            latest[sighting[:2]] = _merge(latest.get(sighting[:2]), sighting)
        self._withheld = {key: sighting for key, sighting in latest.items() if self._is_changed(sighting)}
        now = max((sighting.seen for sighting in latest.values()), default=None)
        return sorted(sighting for sighting in latest.values() if now and self._is_due(sighting, now))

    def written(self, sightings: Iterable[Sighting]) -> None:
        """These are committed."""
        for sighting in sightings:
            key = sighting[:2]
            self._written[key] = sighting
            self._written.move_to_end(key)
            if self._withheld.get(key) == sighting:
                del self._withheld[key]
        while len(self._written) > REMEMBERED:
            self._written.popitem(last=False)

    def _is_due(self, sighting: Sighting, now: datetime) -> bool:
        known = self._written.get(sighting[:2])
        if known is None or sighting.seen - known.seen >= REFRESH:
            return True
        return now - known.seen >= SETTLED and _differs(sighting, known)

    def _is_changed(self, sighting: Sighting) -> bool:
        known = self._written.get(sighting[:2])
        return known is not None and _differs(sighting, known)


def _differs(new: Sighting, known: Sighting) -> bool:
    return new.site_id != known.site_id or (new.meta is not None and new.meta != known.meta)


def _merge(old: Sighting | None, new: Sighting) -> Sighting:
    if old is None or new.meta is not None:
        return new
    return new._replace(meta=old.meta)
