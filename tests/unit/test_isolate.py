"""Halving a batch finds the bad messages, and nothing but them."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2

import asyncpg
import pytest

from writer.entry import parse_entry
from writer.isolate import give_up, store_all_but_bad
from writer.outcome import Decoded, Deferred, Rejected, Settleable, Sighting


def decoded(number: int, deliveries: int = 1) -> Decoded:
    entry = parse_entry("s", b"%d-0" % number, [b"topic", b"traksense/t/s/d/telem", b"payload", b"{}"], deliveries)
    return Decoded(entry, "telem", Sighting("t", "d", "s", None, entry.received_at), None)


class Database:
    """Refuses every batch that holds one of the bad messages."""

    def __init__(self, bad: set[int], error: Exception) -> None:
        self.bad = bad
        self.error = error
        self.transactions = 0
        self.stored: list[Settleable] = []

    async def store(self, batch: Sequence[Settleable]) -> int:
        self.transactions += 1
        if any(isinstance(outcome, Decoded) and number_of(outcome) in self.bad for outcome in batch):
            raise self.error
        self.stored += batch
        return len(batch)


def number_of(outcome: Settleable | Deferred) -> int:
    return int(outcome.entry.id.partition("-")[0])


def poison() -> asyncpg.PostgresError:
    error = asyncpg.CheckViolationError("new row violates check constraint")
    error.constraint_name = "sane"
    return error


@pytest.mark.parametrize("bad", [set(), {0}, {799}, {3, 4, 500}, set(range(0, 800, 2)), set(range(800))])
async def test_poison_becomes_dead_letters_and_the_rest_is_stored(bad: set[int]) -> None:
    database = Database(bad, poison())
    outcomes = await store_all_but_bad(database.store, [decoded(number) for number in range(800)], 5)
    assert {number_of(outcome) for outcome in outcomes if isinstance(outcome, Rejected)} == bad
    assert {number_of(outcome) for outcome in outcomes if isinstance(outcome, Decoded)} == set(range(800)) - bad
    assert sorted(map(number_of, database.stored)) == list(range(800)), "each in exactly one transaction"
    k = max(len(bad), 1)
    assert database.transactions <= 1 + 2 * k * (log2(800 / k) + 2) + k


async def test_a_dead_letter_says_what_the_database_said() -> None:
    (outcome,) = await store_all_but_bad(Database({1}, poison()).store, [decoded(1)], 5)
    assert isinstance(outcome, Rejected)
    assert outcome.reason == "data_error: sane: new row violates check constraint (SQLSTATE 23514)"
    assert (outcome.error_class, outcome.sqlstate, outcome.tenant_id) == ("data_error", "23514", "t")


async def test_a_bug_leaves_its_message_pending_and_stores_the_rest() -> None:
    database = Database({2}, RuntimeError("bug"))
    outcomes = await store_all_but_bad(database.store, [decoded(number) for number in range(4)], 5)
    assert [number_of(outcome) for outcome in outcomes if isinstance(outcome, Deferred)] == [2]
    assert sorted(map(number_of, database.stored)) == [0, 1, 3]


async def test_a_bug_is_given_up_at_the_last_try() -> None:
    database = Database({2}, RuntimeError("bug"))
    (outcome,) = await store_all_but_bad(database.store, [decoded(2, deliveries=5)], 5)
    assert isinstance(outcome, Rejected)
    assert outcome.reason == "max_deliveries: entry: 5 tries, the last: RuntimeError: bug"
    assert database.stored == [outcome]


async def test_a_dead_letter_that_cannot_be_stored_is_not_lost() -> None:
    class Broken(Database):
        async def store(self, batch: Sequence[Settleable]) -> int:
            raise self.error

    (outcome,) = await store_all_but_bad(Broken(set(), poison()).store, [decoded(1)], 5)
    assert isinstance(outcome, Deferred)


@pytest.mark.parametrize("most", [1, 7, 40])
async def test_of_a_batch_that_is_stored_in_parts_nothing_is_stored_twice(most: int) -> None:
    class Slow(Database):
        async def store(self, batch: Sequence[Settleable]) -> int:
            return await super().store(batch[:most])

    bad = {0, 3, 20, 99}
    database = Slow(bad, poison())
    outcomes = await store_all_but_bad(database.store, [decoded(number) for number in range(100)], 5)
    assert [number_of(outcome) for outcome in outcomes] == list(range(100))
    assert {number_of(outcome) for outcome in outcomes if isinstance(outcome, Rejected)} == bad
    assert sorted(map(number_of, database.stored)) == list(range(100))


async def test_a_bug_is_not_told_with_those_of_the_larger_batches() -> None:
    database = Database({2}, RuntimeError("bug"))
    deferred = [
        outcome
        for outcome in await store_all_but_bad(database.store, [decoded(number) for number in range(8)], 5)
        if isinstance(outcome, Deferred)
    ]
    assert [outcome.error.__context__ for outcome in deferred] == [None]


async def test_an_empty_batch_needs_no_transaction() -> None:
    database = Database(set(), poison())
    assert await store_all_but_bad(database.store, [], 5) == []
    assert database.transactions == 0


def test_giving_up_counts_this_try() -> None:
    assert isinstance(give_up(Deferred(decoded(1, deliveries=4).entry, ValueError()), 5), Deferred)
    assert isinstance(give_up(Deferred(decoded(1, deliveries=5).entry, ValueError()), 5), Rejected)
