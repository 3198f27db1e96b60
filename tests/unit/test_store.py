"""What became of a batch, as a value."""

from __future__ import annotations

from typing import Any

from tests.unit.test_bisect import Canary, Database, decoded, poison
from tests.unit.test_commit import Slow
from traksense_ingest.shared.metrics import WriterMetrics
from traksense_ingest.shared.runtime.health import Component
from traksense_ingest.writer.decode.decode import reject
from traksense_ingest.writer.outcome import Deferred, Handled, HeldBack, Ignored, Rejected
from traksense_ingest.writer.store.store import Storage, StoreResult
from traksense_ingest.writer.watch.metrics_recorder import MetricsRecorder


async def store_batch(tables: Any, outcomes: list[Handled]) -> StoreResult:
    metrics = WriterMetrics()
    canary: Any = Canary(Database(set(), KeyError()))
    storage = Storage(tables, canary, Component("database", "", metrics), MetricsRecorder(metrics), max_deliveries=5)
    return await storage.store_batch(outcomes)


async def test_each_message_is_settled_deferred_or_held_back() -> None:
    good, bad = decoded(1), decoded(2)
    letter = reject(decoded(3).entry, "parse_error", "parse_error: no")
    empty = Ignored(decoded(4).entry, "telem", "empty")
    deferred = Deferred(decoded(5).entry, KeyError())
    held = HeldBack(decoded(6).entry, "ack", ValueError())
    result = await store_batch(Database({2}, poison()), [good, bad, letter, empty, deferred, held])
    rejected = [outcome for outcome in result.settled if isinstance(outcome, Rejected)]
    assert {outcome.entry.id for outcome in rejected} == {"2-0", "3-0"}
    assert {outcome.entry.id for outcome in result.settled} == {"1-0", "2-0", "3-0", "4-0"}
    assert (result.deferred, result.held_back) == ([deferred], [held])
    assert (result.duplicates, result.batch_limit) == (0, None)


async def test_a_batch_that_was_too_much_says_how_many_are_not() -> None:
    result = await store_batch(Slow(), [decoded(number) for number in range(16)])
    assert len(result.settled) == 16
    assert result.batch_limit == 2
    assert result.duplicates == 8, "one in each transaction"


async def test_a_batch_with_nothing_to_store_needs_no_transaction() -> None:
    database = Database(set(), poison())
    result = await store_batch(database, [Ignored(decoded(1).entry, "telem", "empty")])
    assert len(result.settled) == 1
    assert database.transactions == 0
