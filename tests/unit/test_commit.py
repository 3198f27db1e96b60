"""What timed out is tried again with half as many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from shared.health import Component
from shared.metrics import WriterMetrics
from tests.unit.test_isolate import decoded
from writer.account import Account
from writer.commit import Commit
from writer.outcome import Settleable
from writer.store import Stored


class Slow:
    """Manages three messages at once."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    async def store(self, batch: Sequence[Settleable]) -> Stored:
        self.sizes.append(len(batch))
        if len(batch) > 3:
            raise TimeoutError
        return Stored(duplicates=Counter(telem=1))


async def test_it_halves_what_timed_out_keeps_to_it_and_says_so() -> None:
    metrics = WriterMetrics()
    store: Any = Slow()
    told: list[int] = []
    database = Component("database", "", metrics)
    commit = Commit(store, database, Account(metrics), told.append)
    batch = [decoded(number) for number in range(16)]
    assert await commit(batch) == 2
    assert await commit(batch[2:]) == 2
    assert await commit(batch[4:5]) == 1
    assert store.sizes == [16, 8, 4, 2, 2, 1]
    assert told == [8, 4, 2]
    assert commit.duplicates["telem"] == 3
    assert database.is_up
    assert metrics.registry.get_sample_value("ingest_errors_total", {"reason": "db_error"}) == 3
