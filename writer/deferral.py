"""What is told of entries that a bug has kept from being handled: they have one cause more often than many."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from shared.failure import describe
from writer.outcome import Deferred

TRACEBACKS = 5  # of one batch
IDS = 3  # of one error

log = logging.getLogger(__name__)


def report(deferred: Sequence[Deferred]) -> None:
    """Log each distinct error with one traceback, how many entries it hit, and the first of them."""
    alike: dict[tuple[str, str, int], list[Deferred]] = {}
    for outcome in deferred:
        error = outcome.error
        alike.setdefault((type(error).__name__, describe(error), outcome.entry.deliveries), []).append(outcome)
    groups = list(alike.values())
    for group in groups[:TRACEBACKS]:
        first = group[0]
        log.error(
            "%s: failed at try %d and stay pending: %d entries: %s",
            *(first.entry.stream, first.entry.deliveries, len(group)),
            ", ".join(outcome.entry.id for outcome in group[:IDS]) + (", …" if len(group) > IDS else ""),
            exc_info=first.error,
        )
    if more := groups[TRACEBACKS:]:
        log.error("… and %d entries with %d other errors", sum(map(len, more)), len(more))
