"""Names in a sentence of a log or a screen."""

from __future__ import annotations

from collections.abc import Iterable

NAMES_MAX = 5


def listed(names: Iterable[object], most: int = NAMES_MAX) -> str:
    """`a, b, c`; of more than `most` the first ones and how many there are besides: `a, b and 3 more`."""
    found = [*map(str, names)]
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more
