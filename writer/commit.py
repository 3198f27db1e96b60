"""Committing a batch: in one transaction, or in smaller ones where the database is too slow for it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

from shared.failure import is_too_slow
from shared.health import Component
from shared.outage import outlast
from writer.account import Account
from writer.outcome import Settleable
from writer.store import Store, Stored


class Commit:
    """Of one batch. What timed out is tried again with half as many, down to one message."""

    def __init__(self, store: Store, database: Component, account: Account, shrink: Callable[[int], None]) -> None:
        """`shrink` is told how many messages are to be tried at once from now on."""
        self._store = store
        self._database = database
        self._account = account
        self._shrink = shrink
        self._most: int | None = None  # messages at once; None: all
        self.duplicates: Counter[str] = Counter()

    async def __call__(self, batch: Sequence[Settleable]) -> int:
        """Commit the first messages of these, however many outages it takes; returns how many."""
        started = time.perf_counter()
        portion, stored = await outlast(self._database, lambda: self._try(batch))
        self.duplicates += stored.duplicates
        self._account.committed(portion, stored, time.perf_counter() - started)
        return len(portion)

    async def _try(self, batch: Sequence[Settleable]) -> tuple[Sequence[Settleable], Stored]:
        portion = batch[: self._most]
        try:
            return portion, await self._store.store(portion)
        except Exception as error:
            if is_too_slow(error):
                self._most = max(1, len(portion) // 2)
                self._shrink(self._most)
            raise
