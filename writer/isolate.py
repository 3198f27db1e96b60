"""Finds what the database refuses by halving the batch, so that the rest of it is stored."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from shared.failure import Kind, describe, kind_of, sqlstate_of
from writer.decode import reject
from writer.outcome import Deferred, Outcome, Rejected, Settleable

# Stores the first ones of a batch in one transaction, however many outages it takes, and returns how many; raises
# poison and bugs.
Store = Callable[[Sequence[Settleable]], Awaitable[int]]


async def store_all_but_bad(store: Store, batch: Sequence[Settleable], max_deliveries: int) -> list[Outcome]:
    """Store a batch; what can't be stored becomes a dead letter, or is deferred when nobody knows why.

    With k bad messages among n it takes some 2·k·log2(n/k) transactions more.
    """
    count, error = await _store_until_refused(store, batch)
    stored, rest = batch[:count], batch[count:]
    if error is None:
        return list(stored)
    if len(rest) == 1:
        return [*stored, await _condemn(store, rest[0], error, max_deliveries)]
    middle = len(rest) // 2
    return [
        *stored,
        *await store_all_but_bad(store, rest[:middle], max_deliveries),
        *await store_all_but_bad(store, rest[middle:], max_deliveries),
    ]


async def _store_until_refused(store: Store, batch: Sequence[Settleable]) -> tuple[int, Exception | None]:
    """How many of the batch are stored, and what refused the next ones, if anything did."""
    count = 0
    while count < len(batch):
        try:
            count += await store(batch[count:])
        except Exception as error:
            return count, error
    return count, None


def give_up(deferred: Deferred, max_deliveries: int) -> Deferred | Rejected:
    """A dead letter in its place once it had all its tries."""
    entry, error = deferred.entry, deferred.error
    if entry.deliveries < max_deliveries:
        return deferred
    reason = f"max_deliveries: entry: {entry.deliveries} tries, the last: {type(error).__name__}: {describe(error)}"
    return reject(entry, "max_deliveries", reason, sqlstate_of(error))


async def _condemn(store: Store, outcome: Settleable, error: Exception, max_deliveries: int) -> Outcome:
    """What becomes of the one message that an error is about."""
    verdict = _judge(outcome, error, max_deliveries)
    if isinstance(verdict, Deferred):
        return verdict
    try:
        await store([verdict])
    except Exception as again:
        return Deferred(outcome.entry, again)
    return verdict


def _judge(outcome: Settleable, error: Exception, max_deliveries: int) -> Deferred | Rejected:
    if isinstance(outcome, Rejected):
        return Deferred(outcome.entry, error)
    if kind_of(error) is Kind.POISON:
        where = getattr(error, "column_name", None) or getattr(error, "constraint_name", None) or "payload"
        reason = f"data_error: {where}: {describe(error)}"
        return reject(outcome.entry, "data_error", reason, sqlstate_of(error))
    return give_up(Deferred(outcome.entry, error), max_deliveries)
