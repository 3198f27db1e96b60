"""What timed out is tried again with half as many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from tests.unit.test_bisect import Canary, Database, decoded
from traksense_ingest.shared.metrics import WriterMetrics
from traksense_ingest.shared.runtime.health import Component
from traksense_ingest.writer.outcome import Storable
from traksense_ingest.writer.store.commit import BatchCommit, Committed
from traksense_ingest.writer.store.tables import Changes
from traksense_ingest.writer.watch.metrics_recorder import MetricsRecorder


class Slow:
    """Manages three messages at once."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    async def write(self, batch: Sequence[Storable]) -> Changes:
        self.sizes.append(len(batch))
        if len(batch) > 3:
            raise TimeoutError
        return Changes(duplicates=Counter(telem=1))


async def test_it_halves_what_timed_out_keeps_to_it_and_says_so() -> None:
    metrics = WriterMetrics()
    store: Any = Slow()
    database = Component("database", "", metrics)
    canary: Any = Canary(Database(set(), KeyError()))
    batch_commit = BatchCommit(store, canary, database, MetricsRecorder(metrics))
    batch = [decoded(number) for number in range(16)]
    stored = []
    for rest in (batch, batch[2:], batch[4:5]):
        attempt = await batch_commit.commit(rest)
        assert isinstance(attempt, Committed)
        stored.append(len(attempt.messages))
    assert stored == [2, 2, 1]
    assert store.sizes == [16, 8, 4, 2, 2, 1]
    assert batch_commit.limit == 2
    assert batch_commit.duplicates == 3
    assert database.is_up
    assert metrics.registry.get_sample_value("ingest_errors_total", {"reason": "db_error"}) == 3


class Interrupted:
    """Gives no answer once."""

    def __init__(self) -> None:
        self.errors: list[Exception] = [TimeoutError()]

    async def write(self, batch: Sequence[Storable]) -> Changes:
        if self.errors:
            raise self.errors.pop()
        return Changes()


async def test_an_outage_that_a_single_message_meets_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """As one that several messages meet: the message is stored at once, and was not its cause."""
    metrics = WriterMetrics()
    store: Any = Interrupted()
    database = Component("database", "", metrics)
    database.presume()
    canary: Any = Canary(Database(set(), KeyError()))
    batch_commit = BatchCommit(store, canary, database, MetricsRecorder(metrics))
    with caplog.at_level("INFO"):
        assert isinstance(await batch_commit.commit([decoded(1)]), Committed)
    assert database.is_up
    assert metrics.registry.get_sample_value("ingest_errors_total", {"reason": "db_error"}) == 1
    assert [record.message for record in caplog.records] == [
        "database is unreachable, waiting for it: no answer in time ()",
        "database is reachable",
    ]
