"""Finds what the database refuses by dividing the batch, so that the rest of it is stored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import assert_never

from traksense_ingest.shared.failure import Suspect, describe, sqlstate_of, suspect_of
from traksense_ingest.writer.decode.decode import reject
from traksense_ingest.writer.outcome import AwaitsBirth, Deferred, Handled, HeldBack, Rejected, Storable
from traksense_ingest.writer.store.canary import kind_of
from traksense_ingest.writer.store.commit import Attempt, Committed, KindRefused, Refused

Commit = Callable[[Sequence[Storable]], Awaitable[Attempt]]


async def store_with_bisection(commit: Commit, batch: Sequence[Storable], max_deliveries: int) -> list[Handled]:
    """Store a batch; what can't be stored becomes a dead letter, or is deferred when nobody knows why. A kind of which
    nothing can be stored is held back.

    With k bad messages among n it takes some 2·k·log2(n/k) transactions more, and for each a canary and a second try.
    """
    handled: list[Handled] = []
    waiting = [batch] if batch else []  # the next part is the last one
    while waiting:
        part = waiting.pop()
        attempt = await commit(part)
        match attempt:
            case Committed(stored):
                handled += stored
                if rest := part[len(stored) :]:
                    waiting.append(rest)
            case KindRefused(kind, fault):
                handled += [HeldBack(outcome.entry, kind, fault) for outcome in part]
            case Refused(error) if len(part) == 1:
                handled.append(await _reject_or_defer(commit, part[0], error, max_deliveries))
            case Refused():
                waiting += reversed(_divide(part))
            case _:
                assert_never(attempt)
    return handled


def give_up(deferred: Deferred, max_deliveries: int) -> Deferred | Rejected:
    """A dead letter in its place once it had all its tries. Only while other messages are stored."""
    entry, error = deferred.entry, deferred.error
    if entry.deliveries < max_deliveries:
        return deferred
    if suspect_of(error) is Suspect.SIZE:
        return _data_error(deferred, error, f" ({entry.deliveries} tries)")
    reason = f"max_deliveries: entry: {entry.deliveries} tries, the last: {type(error).__name__}: {describe(error)}"
    return _reject(deferred, "max_deliveries", reason)


def give_up_waiting(waiting: AwaitsBirth) -> AwaitsBirth | Rejected:
    """A dead letter once it has waited for as long as it takes until an entry may be claimed: in that time a BIRTH that
    a writer had in hand is stored, by that writer or another one. `dlq replay` repairs it after the BIRTH."""
    if waiting.entry.deliveries == 1:
        return waiting
    return Rejected(waiting.entry, waiting.kind, waiting.tenant_id, "unknown_alias", waiting.reason)


def _divide(batch: Sequence[Storable]) -> Sequence[Sequence[Storable]]:
    """By kind, since each kind has statements of its own; of one kind, in halves."""
    kinds: dict[str, list[Storable]] = defaultdict(list)
    for outcome in batch:
        kinds[kind_of(outcome)].append(outcome)
    middle = len(batch) // 2
    return [*kinds.values()] if len(kinds) > 1 else (batch[:middle], batch[middle:])


async def _reject_or_defer(commit: Commit, outcome: Storable, error: Exception, max_deliveries: int) -> Handled:
    """What becomes of the one message that an error is about."""
    verdict = _classify(outcome, error, max_deliveries)
    if isinstance(verdict, Deferred):
        return verdict
    attempt = await commit([verdict])
    match attempt:
        case Committed():
            return verdict
        case Refused(again):
            return Deferred(outcome.entry, again)
        case KindRefused(kind, fault):
            return HeldBack(outcome.entry, kind, fault)
        case _:
            assert_never(attempt)


def _classify(outcome: Storable, error: Exception, max_deliveries: int) -> Deferred | Rejected:
    """A dead letter that is refused is deferred; a message is rejected where the error is about its data."""
    deferred = Deferred(outcome.entry, error, outcome.kind, outcome.tenant_id)
    if isinstance(outcome, Rejected):
        return deferred
    if suspect_of(error) in (Suspect.DATA, Suspect.SCHEMA):
        return _data_error(deferred, error)
    return give_up(deferred, max_deliveries)


def _data_error(deferred: Deferred, error: Exception, more: str = "") -> Rejected:
    where = getattr(error, "column_name", None) or getattr(error, "constraint_name", None) or "payload"
    reason = f"data_error: {where}: {describe(error)}{more}"
    return _reject(deferred, "data_error", reason)


def _reject(deferred: Deferred, error_class: str, reason: str) -> Rejected:
    sqlstate = sqlstate_of(deferred.error)
    return reject(deferred.entry, error_class, reason, sqlstate, kind=deferred.kind, tenant_id=deferred.tenant_id)
