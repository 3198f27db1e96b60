"""What the log says of what is not stored: dead letters, entries that stay pending because of a bug, and readings that
contradict another one of their message."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from traksense_ingest.shared.failure import describe, sqlstate_of
from traksense_ingest.writer.outcome import AwaitsBirth, Decoded, Deferred, Rejected, Settleable

PERIOD_S = 60.0
TRACEBACKS = 5  # of one batch
IDS = 3  # of one error

log = logging.getLogger(__name__)


class DeadLetterLog:
    """The first dead letter at once, then a line a minute with how many of each class, and one of them.

    Shared by a process's lanes.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._logged_at = -PERIOD_S
        self._counts: Counter[str] = Counter()
        self._example: Rejected | None = None

    def add(self, counts: Mapping[str, int], batch: Sequence[Settleable]) -> None:
        """So many rows of each class are new in ingest_errors; they are of this batch."""
        if counts:
            self._counts.update(counts)
            self._example = next((outcome for outcome in batch if isinstance(outcome, Rejected)), self._example)
            self.flush_if_due()

    def flush_if_due(self) -> None:
        """Log what was added since the last line, if that one is a minute old."""
        if self._clock() - self._logged_at >= PERIOD_S:
            self.flush()

    def flush(self) -> None:
        """Log what was added since the last line."""
        if self._counts and self._example:
            entry = self._example.entry
            log.warning(
                "dead letters: %d (%s), for example %s %s, topic %s: %s",
                self._counts.total(),
                ", ".join(f"{class_}: {count}" for class_, count in sorted(self._counts.items())),
                *(entry.stream, entry.id, _shown(entry.topic), " ".join(self._example.reason.split())[:300]),
                extra={"stream": entry.stream, "count": self._counts.total()},
            )
            self._counts.clear()
            self._logged_at = self._clock()


class ConflictLog:
    """Readings that were not stored since their message has another one of the same point and time: the first at once,
    then a line a minute. Shared by a process's lanes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._logged_at = -PERIOD_S
        self._counts: Counter[str] = Counter()

    def add(self, counts: Mapping[str, int], batch: Sequence[Settleable]) -> None:
        """So many of each mapping, whose name is empty for version 1; they are of this batch."""
        self._counts.update(counts)
        if self._clock() - self._logged_at < PERIOD_S:
            return
        self._logged_at = self._clock()
        entry = next(outcome.entry for outcome in batch if isinstance(outcome, Decoded) and _may_conflict(outcome))
        log.warning(
            "%d readings are not stored, since their message has another value or unit of the same point and time%s; "
            "the last message is of topic %s",
            self._counts.total(),
            "".join(f", mapping {name}: {count}" for name, count in sorted(self._counts.items()) if name),
            _shown(entry.topic),
            extra={"count": self._counts.total()},
        )
        self._counts.clear()


def _may_conflict(outcome: Decoded) -> bool:
    return outcome.same_point > 0 or len(outcome.rows) > 1


class AwaitedBirthLog:
    """What messages wait for: the first at once, then a line a minute. Shared by a process's lanes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._logged_at = -PERIOD_S
        self._counts: Counter[str] = Counter()

    def add(self, awaiting: Sequence[AwaitsBirth]) -> None:
        """These stay pending."""
        self._counts.update(outcome.device_key for outcome in awaiting)
        if self._counts and self._clock() - self._logged_at >= PERIOD_S:
            self._logged_at = self._clock()
            nodes = [_shown(name.encode()) for name, _ in self._counts.most_common(IDS)]
            log.warning(
                "%d Sparkplug messages wait for the BIRTH that says what they mean, of %s",
                self._counts.total(),
                ", ".join(nodes) + (", …" if len(self._counts) > IDS else ""),
                extra={"count": self._counts.total()},
            )
            self._counts.clear()


def log_deferred(deferred: Sequence[Deferred]) -> None:
    """Log each distinct error of a batch with one traceback, how many entries it hit, and the first of them: entries
    that fail together have one cause more often than many."""
    by_error: dict[tuple[str, str, int], list[Deferred]] = {}
    for outcome in deferred:
        error = outcome.error
        by_error.setdefault((type(error).__name__, describe(error), outcome.entry.deliveries), []).append(outcome)
    groups = list(by_error.values())
    for group in groups[:TRACEBACKS]:
        first = group[0]
        log.error(
            "%s: failed at try %d and stay pending: %d entries: %s",
            *(first.entry.stream, first.entry.deliveries, len(group)),
            ", ".join(outcome.entry.id for outcome in group[:IDS]) + (", …" if len(group) > IDS else ""),
            exc_info=first.error,
            extra={"stream": first.entry.stream, "count": len(group), "sqlstate": sqlstate_of(first.error)},
        )
    if more := groups[TRACEBACKS:]:
        log.error("… and %d entries with %d other errors", sum(map(len, more)), len(more))


def _shown(topic: bytes | None) -> str:
    return ascii((topic or b"").decode(errors="backslashreplace"))[:200]
