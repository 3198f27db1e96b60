"""The table device_point: a device's points, written when they are new to this process."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from traksense_ingest.writer.decode.measures import Measures

Points = frozenset[str]  # the names of a device's points

NONE: Points = frozenset()
REMEMBERED = 500_000  # names in sets that differ, some 65 MB
OF_ONE_DEVICE = 20_000  # one that makes up new names can't take all of the memory


class PointRow(NamedTuple):
    """A row of device_point."""

    tenant_id: str
    device_id: str
    point_id: str
    unit: str | None
    ts: datetime  # of the reading


class PointSets:
    """The sets of points of all devices. Most devices of a kind have the same points: such a set is kept once."""

    def __init__(self) -> None:
        self._sets: dict[Points, Points] = {NONE: NONE}
        self._names = 0  # in all of them, also in those that no device has any more

    @property
    def are_too_many(self) -> bool:
        """Whether some have to be forgotten."""
        return self._names > REMEMBERED

    def joined(self, known: Points, new: Iterable[str]) -> Points:
        """What is known, with the new names."""
        names = known.union(new)
        if len(names) > OF_ONE_DEVICE:
            names = frozenset(new)
        kept = self._sets.setdefault(names, names)
        if kept is names:
            self._names += len(names)
        return kept

    def keep(self, used: Iterable[Points]) -> None:
        """Forget all but these."""
        self._sets = {points: points for points in used}
        self._names = sum(map(len, self._sets))


def rows_of(messages: Iterable[Measures]) -> list[PointRow]:
    """A row for each of their points, of the first reading; sorted by key so that two writers can't deadlock."""
    found: dict[tuple[str, str, str], PointRow] = {}
    for message in messages:
        for point, _, _, _, unit in message.readings:
            key = message.tenant_id, message.device_id, point
            if key not in found:
                found[key] = PointRow(*key, unit, message.ts)
    return sorted(found.values())
