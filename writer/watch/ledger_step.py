"""What to do about a snapshot of a stream, given the copy of its ledger. Pure functions: `ledger.py` acts on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from traksense_ingest.shared.streams.ledger import Ledger
from traksense_ingest.shared.streams.ledger_rows import LedgerRow
from traksense_ingest.shared.streams.snapshot import StreamSnapshot

# A row that is younger was just written by another writer; one that is older is written again though nothing changed,
# so that `seen_at` says within a minute when the stream was last seen.
YOUNG_S, OLD_S = 0.5, 60.0
KEPT_S = 2 * OLD_S  # nobody maintains a row that is older
# The first writer at a promoted replica records the loss. Until then a second writer, which had not yet seen the
# entries that the replica lacks, may take the replica for the unchanged old master.
SPLIT_AFTER = timedelta(seconds=3)


@dataclass(frozen=True)
class Loss:
    """Entries that are gone, when their stream was last seen with them, and how many it held then."""

    gone: int
    missing: int  # that were removed before, and are no longer in the ledger
    in_stream: int
    seen_at: datetime | None


@dataclass(frozen=True)
class Split:
    """Other writers maintain the row from another Redis (split brain): a replica was promoted, and this Redis is the
    old master."""

    before: LedgerRow  # the last row of this Redis
    lost: int  # as the other one's first row has it
    since: datetime


@dataclass(frozen=True)
class Observation:
    """The last snapshot of a stream, and what was lost since its row was written. Starts from the row itself."""

    row: LedgerRow
    ledger: Ledger
    at: datetime | None
    loss: Loss | None = None
    split: Split | None = None  # the ledger is of a Redis that the row is not of

    @property
    def is_split(self) -> bool:
        """Whether the row is of another Redis, for so long that it is certain."""
        return self.split is not None and self.at is not None and self.at - self.split.since >= SPLIT_AFTER

    def is_of(self, row: LedgerRow) -> bool:
        """Whether nobody has written the row since."""
        return self.row.revision == row.revision

    def then(self, now: StreamSnapshot, at: datetime) -> Observation:
        """After the next snapshot."""
        ledger = replace(now, revision=now.revision + now.is_counted)
        if self.ledger.precedes(now):
            return replace(self, ledger=ledger, at=at)
        before = self.loss or Loss(0, 0, 0, None)
        gone = before.gone + self.ledger.gone_in(now, now.remaining)
        missing = before.missing + max(self.ledger.missing, 0)
        return Observation(self.row, ledger, at, Loss(gone, missing, self.ledger.in_stream, self.at))

    def beside(self, row: LedgerRow, now: StreamSnapshot, at: datetime) -> Observation:
        """After a snapshot of this Redis, while the row is of another one."""
        split = self.split or Split(self.row, row.lost, at)
        return replace(self.then(now, at), row=row, split=split)

    def lost_by_split(self, row: LedgerRow) -> Loss | None:
        """What came to the old master after the row was another's, and was not settled there; without what another
        writer has recorded of it."""
        if not (self.split and self.is_split):
            return None
        came = self.ledger.added - self.split.before.added
        recorded = max(0, row.lost - self.split.lost)  # below, an operator has accepted it
        gone = min(self.ledger.in_stream, came) - recorded
        return Loss(gone, max(row.missing, 0), self.ledger.in_stream, self.at) if gone > 0 else None


@dataclass(frozen=True)
class Wait:
    """Nothing is to be done until the next snapshot."""

    seen: Observation


@dataclass(frozen=True)
class Copy:
    """The row is to be replaced by a newer snapshot."""

    seen: Observation


@dataclass(frozen=True)
class Close:
    """A loss is to be recorded, and then the ledger reset."""

    seen: Observation
    loss: Loss


@dataclass(frozen=True)
class Reset:
    """A loss is recorded, and the ledger has not been reset yet."""

    row: LedgerRow


Action = Wait | Copy | Close | Reset


def step(row: LedgerRow, snapshot: StreamSnapshot, seen: Observation | None, at: datetime) -> Action:
    """What to do about a stream. The row was read before the snapshot was begun, which has `remaining` where it does
    not follow from `basis`; `seen` is what this process has observed, and `at` is now."""
    if seen and may_be_split(row, snapshot, seen):
        return Wait(seen.beside(row, snapshot, at))
    if row.is_closed:
        return Reset(row)
    after = last_seen(row, seen).then(snapshot, at)
    if after.loss:
        return Close(after, after.loss)
    if seen and (loss := seen.lost_by_split(row)):
        return Close(replace(seen, row=row), loss)  # still with the split, until the loss is written
    return Copy(after) if _is_due(row, snapshot) else Wait(after)


def may_be_split(row: LedgerRow, now: StreamSnapshot, seen: Observation) -> bool:
    """Whether another writer has begun the row again by another Redis, and keeps it, while the one of this process goes
    on: then the stream was not lost, and to record one would be answered by the other writer with another, and so on.
    """
    is_by_another = seen.split is not None or (not seen.is_of(row) and _has_begun_again(seen.row, row))
    return is_by_another and row.age_s <= KEPT_S and not row.precedes(now) and seen.ledger.precedes(now)


def _has_begun_again(before: LedgerRow, row: LedgerRow) -> bool:
    return row.lost > before.lost or not before.precedes(row)


def basis(row: LedgerRow, now: StreamSnapshot, seen: Observation | None) -> Ledger:
    """What a snapshot is compared with."""
    return seen.ledger if seen and may_be_split(row, now, seen) else last_seen(row, seen).ledger


def last_seen(row: LedgerRow, seen: Observation | None) -> Observation:
    """What this process has observed, unless another one has written the row since: that is newer then."""
    if seen and seen.is_of(row) and not seen.split:
        return replace(seen, row=row)
    return Observation(row, row, row.seen_at)


def _is_due(row: LedgerRow, now: Ledger) -> bool:
    if row.figures == now.figures:
        return row.seen_at is not None and row.age_s > OLD_S
    return not 0 <= row.age_s < YOUNG_S
