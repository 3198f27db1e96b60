"""Dividing a batch finds the bad messages and no others; if the database refuses good ones, none is rejected."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from math import log2
from typing import Any

import asyncpg
import pytest

from traksense_ingest.shared.metrics import WriterMetrics
from traksense_ingest.shared.runtime.health import Component
from traksense_ingest.writer.decode.decode import reject
from traksense_ingest.writer.decode.measures import Measures
from traksense_ingest.writer.entry import parse_entry
from traksense_ingest.writer.outcome import Decoded, Deferred, Handled, HeldBack, Rejected, Sighting, Storable
from traksense_ingest.writer.store.bisect import give_up, store_with_bisection
from traksense_ingest.writer.store.canary import kind_of
from traksense_ingest.writer.store.commit import BatchCommit
from traksense_ingest.writer.store.tables import Changes
from traksense_ingest.writer.watch.metrics_recorder import MetricsRecorder

NO_ROWS = Measures("t", "d", datetime(2026, 1, 1, tzinfo=UTC), None, ())


def decoded(number: int, deliveries: int = 1, kind: str = "telem") -> Decoded:
    entry = parse_entry("s", b"%d-0" % number, [b"topic", b"traksense/t/s/d/telem", b"payload", b"{}"], deliveries)
    return Decoded(entry, kind, (Sighting("t", "d", "s", None, entry.received_at),), None, (NO_ROWS,))


class Database:
    """Refuses every batch that holds one of the bad messages; and good ones too, of the kinds that are broken."""

    def __init__(self, bad: set[int], error: Exception, broken: Sequence[str] = (), most: int = 1000) -> None:
        self.bad = bad
        self.error = error
        self.broken = set(broken)
        self.most = most
        self.transactions = 0
        self.canaries = 0
        self.stored: list[Storable] = []

    async def write(self, batch: Sequence[Storable]) -> Changes:
        self.transactions += 1
        if len(batch) > self.most:
            raise TimeoutError
        for outcome in batch:
            is_bad = isinstance(outcome, Decoded) and number_of(outcome) in self.bad
            if is_bad or kind_of(outcome) in self.broken:
                raise self.error
        self.stored += batch
        return Changes()

    async def fault_of(self, kind: str) -> Exception | None:
        self.canaries += 1
        return self.error if kind in self.broken else None

    async def bisect(self, batch: Sequence[Storable], max_deliveries: int = 5) -> list[Handled]:
        """As a lane does."""
        this: Any = self
        metrics = WriterMetrics()
        canary: Any = Canary(self)
        batch_commit = BatchCommit(this, canary, Component("database", "", metrics), MetricsRecorder(metrics))
        return await store_with_bisection(batch_commit.commit, batch, max_deliveries)


class Canary:
    def __init__(self, database: Database) -> None:
        self.fault_of = database.fault_of

    def stored(self, _batch: object) -> None:
        """Known good from now on."""


def number_of(outcome: Handled) -> int:
    return int(outcome.entry.id.partition("-")[0])


def poison() -> asyncpg.PostgresError:
    error = asyncpg.CheckViolationError("new row violates check constraint")
    error.constraint_name = "sane"
    return error


def sql(state: str) -> asyncpg.PostgresError:
    error = asyncpg.PostgresError("no")
    error.sqlstate = state
    return error


@pytest.mark.parametrize("state", ["23514", "TS001"])
@pytest.mark.parametrize("bad", [set(), {0}, {3, 4, 500}, set(range(0, 800, 2))])
async def test_poison_becomes_dead_letters_and_the_rest_is_stored(bad: set[int], state: str) -> None:
    database = Database(bad, sql(state))
    outcomes = await database.bisect([decoded(number) for number in range(800)])
    assert {number_of(outcome) for outcome in outcomes if isinstance(outcome, Rejected)} == bad
    assert {number_of(outcome) for outcome in outcomes if isinstance(outcome, Decoded)} == set(range(800)) - bad
    assert sorted(map(number_of, database.stored)) == list(range(800)), "each in exactly one transaction"
    k = max(len(bad), 1)
    assert database.transactions <= 1 + 2 * k * (log2(800 / k) + 2) + 2 * k
    assert database.canaries <= (k if state == "23514" else 1 + 2 * k * (log2(800 / k) + 2))


async def test_a_dead_letter_says_what_the_database_said() -> None:
    (outcome,) = await Database({1}, poison()).bisect([decoded(1)])
    assert isinstance(outcome, Rejected)
    assert outcome.reason == "data_error: sane: new row violates check constraint (SQLSTATE 23514)"
    assert (outcome.error_class, outcome.sqlstate, outcome.tenant_id) == ("data_error", "23514", "t")


@pytest.mark.parametrize("state", ["23502", "P0001", "42501", "42P01", "0A000", "XX000", "TS001", "26000"])
async def test_a_database_that_refuses_good_ones_too_condemns_none_and_is_asked_little(state: str) -> None:
    database = Database(set(), sql(state), ["telem"])
    outcomes = await database.bisect([decoded(number) for number in range(800)])
    assert [type(outcome) for outcome in outcomes] == [HeldBack] * 800
    assert database.transactions <= 11
    assert database.canaries == 1
    assert database.stored == []


async def test_a_kind_that_is_refused_leaves_the_others_alone() -> None:
    kinds = ("telem", "ack", "event")
    database = Database(set(), sql("42P01"), ["ack"])
    outcomes = await database.bisect([decoded(number, kind=kinds[number % 3]) for number in range(90)])
    assert {outcome.kind for outcome in outcomes if isinstance(outcome, HeldBack)} == {"ack"}
    assert len(database.stored) == 60
    assert (database.transactions, database.canaries) == (4, 1)


async def test_one_that_is_stored_at_the_second_try_was_refused_by_a_database_that_was_repaired_just_then() -> None:
    class Repaired(Database):
        async def fault_of(self, kind: str) -> Exception | None:
            self.bad = set()
            return None

    database = Repaired({1}, sql("23502"))
    assert [type(outcome) for outcome in await database.bisect([decoded(1)])] == [Decoded]


async def test_a_bug_leaves_its_message_pending_and_stores_the_rest() -> None:
    database = Database({2}, RuntimeError("bug"))
    outcomes = await database.bisect([decoded(number) for number in range(4)])
    assert [number_of(outcome) for outcome in outcomes if isinstance(outcome, Deferred)] == [2]
    assert sorted(map(number_of, database.stored)) == [0, 1, 3]


async def test_a_bug_is_given_up_at_the_last_try() -> None:
    database = Database({2}, RuntimeError("bug"))
    (outcome,) = await database.bisect([decoded(2, deliveries=5)])
    assert isinstance(outcome, Rejected)
    assert outcome.reason == "max_deliveries: entry: 5 tries, the last: RuntimeError: bug"
    assert database.stored == [outcome]


async def test_a_bug_that_good_ones_meet_too_gives_nothing_up() -> None:
    (outcome,) = await Database({2}, RuntimeError("bug"), ["telem"]).bisect([decoded(2, deliveries=5)])
    assert isinstance(outcome, HeldBack)


@pytest.mark.parametrize("error", [TimeoutError(), sql("53200"), sql("57014"), sql("54000"), sql("55P03")])
async def test_what_is_too_much_alone_is_given_up_at_the_last_try(error: Exception) -> None:
    (first,) = await Database({2}, error).bisect([decoded(2, deliveries=4)])
    assert isinstance(first, Deferred)
    (last,) = await Database({2}, error).bisect([decoded(2, deliveries=5)])
    assert isinstance(last, Rejected)
    assert last.error_class == "data_error"
    assert last.reason.endswith("(5 tries)")


async def test_a_dead_letter_that_cannot_be_stored_is_not_lost() -> None:
    database = Database({1}, poison(), ["dead_letter"])
    assert [type(one) for one in await database.bisect([decoded(1)])] == [HeldBack]
    letter = reject(decoded(2).entry, "parse_error", "parse_error: no")
    assert [type(one) for one in await database.bisect([letter])] == [HeldBack]


@pytest.mark.parametrize("most", [1, 7, 40])
async def test_of_a_batch_that_is_stored_in_parts_nothing_is_stored_twice(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("traksense_ingest.shared.runtime.retry.Backoff.delay", lambda _self: 0.0)
    bad = {0, 3, 20, 99}
    database = Database(bad, poison(), most=most)
    outcomes = await database.bisect([decoded(number) for number in range(100)])
    assert [number_of(outcome) for outcome in outcomes] == list(range(100))
    assert {number_of(outcome) for outcome in outcomes if isinstance(outcome, Rejected)} == bad
    assert sorted(map(number_of, database.stored)) == list(range(100))


async def test_a_bug_is_not_logged_with_those_of_the_larger_batches() -> None:
    outcomes = await Database({2}, RuntimeError("bug")).bisect([decoded(number) for number in range(8)])
    deferred = [outcome for outcome in outcomes if isinstance(outcome, Deferred)]
    assert [outcome.error.__context__ for outcome in deferred] == [None]


async def test_an_empty_batch_needs_no_transaction() -> None:
    database = Database(set(), poison())
    assert await database.bisect([]) == []
    assert database.transactions == 0


def test_giving_up_counts_this_try() -> None:
    assert isinstance(give_up(Deferred(decoded(1, deliveries=4).entry, ValueError()), 5), Deferred)
    assert isinstance(give_up(Deferred(decoded(1, deliveries=5).entry, ValueError()), 5), Rejected)
