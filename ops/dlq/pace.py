"""How fast a replay may go."""

from __future__ import annotations

BATCHES_PER_S = 5  # so that a low rate does not come in bursts
BATCH_MAX = 100  # messages: what a crash between append and COMMIT replays twice at most


class Pace:
    """At most `rate` messages a second, a batch at a time; times are seconds of any clock."""

    def __init__(self, rate: float, room: int) -> None:
        self.batch = max(1, min(BATCH_MAX, int(rate / BATCHES_PER_S), room))
        self._rate = rate
        self._next = 0.0

    def delay(self, now: float) -> float:
        """Seconds until the next batch may go."""
        return max(0.0, self._next - now)

    def sent(self, messages: int, now: float) -> None:
        """So many went; what was not used of the time before is not made up for."""
        self._next = max(self._next, now) + messages / self._rate
