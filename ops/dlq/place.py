"""Where a reason says that a payload is wrong.

`class: where: what`, and of several places that are wrong `class: where: what; where: what`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_POSITION = re.compile(r" at line (\d+) column (\d+)")
_BYTE = re.compile(r"^parse_error: payload: not UTF-8 at byte (\d+)")


class Place(NamedTuple):
    """A path into the payload, as `points.1.v`, and what is wrong there."""

    where: str
    what: str


def places(reason: str) -> list[Place]:
    """All that a reason names, the first one first; none where it has no place in it."""
    _, _, told = reason.partition(": ")
    parts = (part.partition(": ") for part in told.split("; "))
    return [Place(where, what) for where, colon, what in parts if colon and " " not in where]


def position(reason: str) -> tuple[int, int] | None:
    """The line and the column, in bytes and from 1 on, at which JSON ends to be JSON."""
    found = _POSITION.search(reason)
    return (int(found[1]), int(found[2])) if found else None


def wrong_byte(reason: str) -> int | None:
    """The first byte of the payload that isn't UTF-8, from 0 on."""
    found = _BYTE.search(reason)
    return int(found[1]) if found else None
