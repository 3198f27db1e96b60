"""Groups of dead letters, whose reasons differ only in their values: how many, of how many tenants, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from traksense_ingest.ops.dlq.dead_letter import Selection
from traksense_ingest.ops.dlq.table import GROUPS, HOURS, LIST, LIST_UP

HOURS_SHOWN = 24
GROUPS_MAX = 50


@dataclass(frozen=True)
class Group:
    """The selected dead letters of one reason without its values."""

    name: str
    rows: int
    replayed: int
    tenants: int
    topics: int
    first: datetime
    last: datetime
    hours: Sequence[int]  # rows of each of the last 24 hours, the oldest first


@dataclass(frozen=True)
class Groups:
    """The most frequent ones, and how many dead letters and groups there are in all."""

    shown: Sequence[Group]
    rows: int
    replayed: int
    count: int


async def read_groups(connection: Any, selection: Selection) -> Groups:
    """Raises what asyncpg raises."""
    found = await connection.fetch(GROUPS, *selection.arguments, GROUPS_MAX)
    names = [row["reason_group"] for row in found]
    hours = {name: [0] * HOURS_SHOWN for name in names}
    for row in await connection.fetch(HOURS, *selection.arguments, names):
        if 0 <= row["hour"] < HOURS_SHOWN:
            hours[row["reason_group"]][HOURS_SHOWN - 1 - row["hour"]] = row["rows"]
    shown = [
        Group(
            row["reason_group"],
            row["rows"],
            row["replayed"],
            row["tenants"],
            row["topics"],
            row["first"],
            row["last"],
            hours[row["reason_group"]],
        )
        for row in found
    ]
    first = found[0] if found else {"total": 0, "total_replayed": 0, "groups": 0}
    return Groups(shown, first["total"], first["total_replayed"], first["groups"])


@dataclass(frozen=True)
class Rows:
    """A page of the list, the newest first, and the ids at which the next pages begin."""

    rows: Sequence[Any]
    older: int | None  # ids up to this one
    newer: int | None  # ids from this one on


async def read_rows(connection: Any, selection: Selection, size: int, *, up_to: int | None, from_: int | None) -> Rows:
    """The rows up to an id; if that is None, the rows from an id on; without either, the newest ones."""
    is_up = up_to is None and from_ is not None
    ids = (
        max((each for each in (selection.first, from_) if each is not None), default=None),
        min((each for each in (selection.last, up_to) if each is not None), default=None),
    )
    chosen = selection.between(*ids) if is_up or up_to is not None else selection
    found = await connection.fetch(LIST_UP if is_up else LIST, *chosen.arguments, size + 1)
    rows = list(reversed(found[:size])) if is_up else found[:size]
    has_older = is_up or len(found) > size
    has_newer = len(found) > size if is_up else up_to is not None
    return Rows(
        rows,
        rows[-1]["id"] - 1 if rows and has_older else None,
        rows[0]["id"] + 1 if rows and has_newer else None,
    )
