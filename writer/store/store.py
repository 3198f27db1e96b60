"""Storing a batch: what becomes of each message, as a value; the lane settles, defers and limits by it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import assert_never

from traksense_ingest.shared.runtime.health import Component
from traksense_ingest.writer.outcome import (
    AwaitsBirth,
    Decoded,
    Deferred,
    Handled,
    HeldBack,
    Ignored,
    Rejected,
    Settleable,
    Storable,
)
from traksense_ingest.writer.store.bisect import store_with_bisection
from traksense_ingest.writer.store.canary import Canary
from traksense_ingest.writer.store.commit import BatchCommit
from traksense_ingest.writer.store.tables import Tables
from traksense_ingest.writer.watch.metrics_recorder import MetricsRecorder

# Rows of one transaction: a few seconds of COPY at the most. A message is bounded in bytes, but its meta is repeated in
# each of its rows: 10 000 points with 1 kB of meta are 10 MB.
TRANSACTION_BYTES_MAX = 32 * 1024 * 1024


@dataclass(slots=True)
class StoreResult:
    """What became of the messages of a batch."""

    settled: list[Settleable] = field(default_factory=list)  # committed, or nothing to store
    deferred: list[Deferred] = field(default_factory=list)  # one try more is counted
    awaiting: list[AwaitsBirth] = field(default_factory=list)  # until it may be claimed again
    held_back: list[HeldBack] = field(default_factory=list)  # no try is counted
    duplicates: int = 0  # rows that were in the tables already
    batch_limit: int | None = None  # more messages than this at once are too much for the database

    def add(self, outcome: Handled) -> None:
        """File a message under what became of it."""
        match outcome:
            case Decoded() | Rejected() | Ignored():
                self.settled.append(outcome)
            case Deferred():
                self.deferred.append(outcome)
            case AwaitsBirth():
                self.awaiting.append(outcome)
            case HeldBack():
                self.held_back.append(outcome)
            case _:
                assert_never(outcome)


class Storage:
    """What storing takes. Shared by a process's lanes."""

    def __init__(
        self, tables: Tables, canary: Canary, database: Component, recorder: MetricsRecorder, max_deliveries: int
    ) -> None:
        self._tables = tables
        self._canary = canary
        self._database = database
        self._recorder = recorder
        self._max_deliveries = max_deliveries

    async def store_batch(self, outcomes: Sequence[Handled]) -> StoreResult:
        """Store what is decoded or rejected, however many outages of the database it takes."""
        batch = BatchCommit(self._tables, self._canary, self._database, self._recorder)
        result, storable = StoreResult(), list[Storable]()
        for outcome in outcomes:
            match outcome:
                case Decoded() | Rejected():
                    storable.append(outcome)
                case _:
                    result.add(outcome)
        for portion in split_by_size(storable):
            for outcome in await store_with_bisection(batch.commit, portion, self._max_deliveries):
                result.add(outcome)
        result.duplicates, result.batch_limit = batch.duplicates, batch.limit
        return result

    async def write_overdue_devices(self, now: datetime) -> None:
        """Write the changes of devices that were postponed until now."""
        await self._tables.write_overdue_devices(now)


def split_by_size(outcomes: Sequence[Storable]) -> Iterator[Sequence[Storable]]:
    """The outcomes in order, in portions that one transaction can bear; each has one at least."""
    first, size = 0, 0
    for index, outcome in enumerate(outcomes):
        weight = outcome.weight
        if size + weight > TRANSACTION_BYTES_MAX and index > first:
            yield outcomes[first:index]
            first, size = index, 0
        size += weight
    if first < len(outcomes):
        yield outcomes[first:]
