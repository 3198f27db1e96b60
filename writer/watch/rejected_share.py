"""The share of dead letters among the messages of the last 5 minutes, and the limit of it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from prometheus_client import Gauge

from traksense_ingest.shared.failure import Unusable
from traksense_ingest.writer.outcome import Rejected, Settleable

WINDOW_S = 300.0
STEP_S = 10.0
MESSAGES_MIN = 100  # a share of fewer says nothing


class RejectedShare:
    """Counts what is committed, in steps of 10 s. Shared by a process's lanes."""

    def __init__(self, gauge: Gauge, limit: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        """`limit` is INGEST_MAX_REJECTED_SHARE, None for no limit."""
        self._limit = limit
        self._clock = clock
        self._steps: deque[tuple[float, int, int]] = deque()  # since when, messages, dead letters among them
        self.fault: Unusable | None = None  # why nothing more is stored
        gauge.set_function(self.share)

    def committed(self, batch: Sequence[Settleable]) -> None:
        """These are stored, or dead letters."""
        now, rejected = self._clock(), _rejected(batch)
        while self._steps and self._steps[0][0] < now - WINDOW_S:
            self._steps.popleft()
        if self._steps and now - self._steps[-1][0] < STEP_S:
            since, messages, letters = self._steps.pop()
            self._steps.append((since, messages + len(batch), letters + rejected))
        else:
            self._steps.append((now, len(batch), rejected))

    def share(self) -> float:
        """Of the last 5 minutes' messages, 0 to 1."""
        messages, letters = self._counts()
        return letters / messages if messages else 0.0

    def exceeded_by(self, batch: Sequence[Settleable]) -> Unusable | None:
        """The fault if these would make too many dead letters; once exceeded, it stays until a restart."""
        if self._limit is not None and self.fault is None and (rejected := _rejected(batch)):
            messages, letters = self._counts()
            messages, letters = messages + len(batch), letters + rejected
            if messages >= MESSAGES_MIN and letters > self._limit * messages:
                self.fault = self._excess(letters / messages, messages, batch)
        return self.fault

    def _excess(self, share: float, messages: int, batch: Sequence[Settleable]) -> Unusable:
        example = next(outcome for outcome in batch if isinstance(outcome, Rejected))
        return Unusable(
            f"{share:.0%} of the last {messages} would be dead letters, INGEST_MAX_REJECTED_SHARE is {self._limit}; "
            f"for example {example.entry.stream} {example.entry.id}: {example.reason[:200]}; nothing more is stored or "
            "settled: find out why, or raise the variable, and restart the writers"
        )

    def _counts(self) -> tuple[int, int]:
        oldest = self._clock() - WINDOW_S
        steps = [step for step in list(self._steps) if step[0] >= oldest]
        return sum(step[1] for step in steps), sum(step[2] for step in steps)


def _rejected(batch: Sequence[Settleable]) -> int:
    return sum(isinstance(outcome, Rejected) for outcome in batch)
