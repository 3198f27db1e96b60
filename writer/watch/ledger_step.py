"""What to do about a snapshot of a stream, given the copy of its ledger. Pure functions: `ledger.py` acts on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from traksense_ingest.shared.streams.ledger import Ledger
from traksense_ingest.shared.streams.ledger_rows import LedgerRow
from traksense_ingest.shared.streams.snapshot import StreamSnapshot

# A row that is younger was just written by another writer; one that is older is written again though nothing changed,
# so that `seen_at` says within a minute when the stream was last seen.
YOUNG_S, OLD_S = 0.5, 60.0


@dataclass(frozen=True)
class Loss:
    """Entries that are gone, when their stream was last seen with them, and how many it held then."""

    gone: int
    missing: int  # that were removed before, and are no longer in the ledger
    in_stream: int
    seen_at: datetime | None


@dataclass(frozen=True)
class Observation:
    """The last snapshot of a stream, and what was lost since its row was written. Starts from the row itself."""

    row: LedgerRow
    ledger: Ledger
    at: datetime | None
    loss: Loss | None = None

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
    not follow from `last_seen`; `seen` is what this process has observed, and `at` is now."""
    if row.is_closed:
        return Reset(row)
    after = last_seen(row, seen).then(snapshot, at)
    if after.loss:
        return Close(after, after.loss)
    return Copy(after) if _is_due(row, snapshot) else Wait(after)


def last_seen(row: LedgerRow, seen: Observation | None) -> Observation:
    """What this process has observed, unless another one has written the row since: that is newer then."""
    return replace(seen, row=row) if seen and seen.is_of(row) else Observation(row, row, row.seen_at)


def _is_due(row: LedgerRow, now: Ledger) -> bool:
    if row.figures == now.figures:
        return row.seen_at is not None and row.age_s > OLD_S
    return not 0 <= row.age_s < YOUNG_S
