"""A batch in portions that one transaction can bear.

A message is bounded in bytes, but its meta is repeated in each of its rows: 10 000 points with 1 kB of meta are 10 MB.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from writer.outcome import Settleable

PORTION_BYTES = 32 * 1024 * 1024  # of rows; a few seconds of COPY at the most


def portions(outcomes: Sequence[Settleable]) -> Iterator[Sequence[Settleable]]:
    """The outcomes in order, cut where a portion would get too large; each has one at least."""
    first, size = 0, 0
    for place, outcome in enumerate(outcomes):
        weight = outcome.weight
        if size + weight > PORTION_BYTES and place > first:
            yield outcomes[first:place]
            first, size = place, 0
        size += weight
    if first < len(outcomes):
        yield outcomes[first:]
