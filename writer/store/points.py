"""The table device_point: a device's points, written when they are new to this process."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

Points = frozenset[str]  # the names of a device's points
Units = tuple[tuple[str, str | None], ...]  # the unit of each of some points

NONE: Points = frozenset()
REMEMBERED = 500_000  # names in sets that differ, some 65 MB
OF_ONE_DEVICE = 20_000  # one that makes up new names can't take all of the memory


class NewPoints(NamedTuple):
    """Points of a device that a batch has to write, of one message."""

    tenant_id: str
    device_id: str
    ts: datetime  # of the reading
    units: Units


class PointsRow(NamedTuple):
    """The same as it is sent: rows of device_point that differ in their point and unit alone."""

    tenant_id: str
    device_id: str
    ts: datetime
    point_ids: str  # an array as PostgreSQL reads it, in order
    units: str  # the same, one for each point


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


def rows_of(new: Iterable[NewPoints]) -> list[PointsRow]:
    """In the order of device_point's key, so that two writers can't deadlock. Most devices of a batch are of a few
    kinds: the points of each are put in order and encoded once."""
    encoded: dict[Units, tuple[str, str]] = {}
    rows = []
    for tenant, device, ts, units in new:
        if units not in encoded:
            in_order = sorted(units)
            encoded[units] = array([point for point, _ in in_order]), array([unit for _, unit in in_order])
        rows.append(PointsRow(tenant, device, ts, *encoded[units]))
    return sorted(rows)


def array(values: Iterable[str | None]) -> str:
    """A text[] as PostgreSQL reads it."""
    return "{" + ",".join("NULL" if value is None else _quoted(value) for value in values) + "}"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
