"""How many entries to ask for, so that a batch is bounded in bytes as well as in messages."""

from __future__ import annotations

from collections.abc import Sequence

from writer.entry import Entry

BATCH_BYTES = 4 * 1024 * 1024  # at 60 bytes a point some 70 000 rows: enough for COPY, little for memory
FIRST = 16


class ReadSize:
    """Follows the size of what came: shrinks at once when payloads are large, doubles while they are small.

    Beyond what the database was too slow for it grows in small steps, since each try of too much costs a time-out.
    """

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self.count = min(FIRST, batch_size)
        self._double_to = batch_size

    def shrink(self) -> None:
        """A read failed: perhaps its reply was too large to arrive in time."""
        self.count = max(1, self.count // 2)

    def shrink_to(self, count: int) -> None:
        """More than so many at once could not be stored in time."""
        self.count = self._double_to = min(self.count, count)

    def observe(self, entries: Sequence[Entry]) -> None:
        """Learn from a batch."""
        if entries:
            size = sum(len(entry.payload or b"") for entry in entries)
            fits = BATCH_BYTES * len(entries) // max(size, 1)
            grown = max(min(self.count * 2, self._double_to), self.count + max(1, self.count // 16))
            self.count = max(1, min(fits, grown, self._batch_size))
