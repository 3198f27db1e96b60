"""How long to wait before the next try: exponential, capped, jittered."""

from __future__ import annotations

import random


class Backoff:
    """Delays in seconds that double from `first` to `cap`, each drawn from its upper half.

    The jitter keeps a fleet of processes from knocking on a recovering server in step.
    """

    def __init__(self, first: float = 0.05, cap: float = 1.0) -> None:
        self._first = first
        self._cap = cap
        self._next = first

    def delay(self) -> float:
        """The next delay; each call doubles the one after it."""
        ceiling, self._next = self._next, min(self._next * 2, self._cap)
        return ceiling * random.uniform(0.5, 1.0)  # noqa: S311  (not a secret)

    def reset(self) -> None:
        """Start again from the first delay, after a success."""
        self._next = self._first
