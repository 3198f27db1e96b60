"""The figures of a stream, and how a later snapshot of them relates to an earlier one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import assert_never

ID_0 = "0-0"


class Relation(Enum):
    """What a later snapshot is to an earlier one of the same shard."""

    SUCCESSOR = auto()  # the same stream and ledger, later
    LEDGER_DELETED = auto()  # the ledger alone: the stream still counts what it had
    OLDER_STATE = auto()  # of a restart or of a replica that was promoted: settled entries are in the stream again
    RECREATED = auto()  # the stream was deleted, and maybe created again


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """A stream and its ledger at one instant. In entries, but for `duplicates`."""

    stream: str
    added: int = 0  # that were ever added
    stored: int = 0  # messages that were settled as stored
    dead_lettered: int = 0  # … and as dead letters
    ignored: int = 0  # … and with nothing to store
    removed: int = 0  # by another client, and accepted as lost; below zero after the stream was deleted
    duplicates: int = 0  # rows that were stored before
    in_stream: int = 0  # the backlog
    last_id: str = ID_0  # the last id that the stream gave
    revision: int = 0  # how many snapshots were counted before, in order to keep a copy of them

    @property
    def settled(self) -> int:
        """What writers took out of the stream."""
        return self.stored + self.dead_lettered + self.ignored

    @property
    def unaccounted(self) -> int:
        """Entries that left the stream without a writer. It shrinks when a writer stores what was trimmed while it was
        pending there, or when the stream is created again."""
        return self.added - self.settled - self.in_stream

    @property
    def missing(self) -> int:
        """Those that no operator has accepted as lost. Below zero, the stream was deleted with all that was in it."""
        return self.unaccounted - self.removed

    @property
    def figures(self) -> tuple[int | str, ...]:
        """What differs between two snapshots if anything happened."""
        return (self.added, self.settled, self.removed, self.duplicates, self.in_stream, self.last_id)

    def relation_to(self, later: Ledger) -> Relation:
        """What a snapshot that was begun after this one is to it.

        Only the revision shows that a stream was deleted which has since grown beyond what it was.
        """
        if self._is_followed_by(later):
            return Relation.SUCCESSOR
        if later.revision == 0 and later.unaccounted > self.unaccounted:
            return Relation.LEDGER_DELETED
        return Relation.OLDER_STATE if self._is_after(later) else Relation.RECREATED

    def precedes(self, later: Ledger) -> bool:
        """Whether a snapshot that was begun after this one is of the same stream and ledger."""
        return self.relation_to(later) is Relation.SUCCESSOR

    def gone_in(self, later: Ledger, remaining: int) -> int:
        """How many entries that were unsettled here are gone in a later snapshot; `remaining` are those in the stream
        with an id up to `last_id`, which only matter if it is no successor."""
        match self.relation_to(later):
            case Relation.SUCCESSOR | Relation.LEDGER_DELETED:
                return 0
            case Relation.OLDER_STATE:  # what counts is how many ids were never given
                gone = self.added - (later.added - (later.in_stream - remaining))
            case Relation.RECREATED:
                gone = self.in_stream - remaining
            case other:
                assert_never(other)
        return min(max(gone, 0), self.in_stream)

    def _is_after(self, earlier: Ledger) -> bool:
        """Whether `earlier`, already known not to be a later state of this ledger, is an earlier one. With the same
        revision its sums must agree: where the stream alone was deleted, it has fewer entries than its ledger."""
        is_same = earlier.revision == self.revision and earlier.missing >= 0
        return earlier.revision > 0 and (earlier.revision < self.revision or is_same)

    def _is_followed_by(self, later: Ledger) -> bool:
        return (
            later.revision >= self.revision
            and later.added >= self.added
            and _position(later.last_id) >= _position(self.last_id)
            and later.unaccounted >= min(self.unaccounted, later.removed)
        )


def _position(id_: str) -> tuple[int, int]:
    ms, _, number = id_.partition("-")
    return int(ms), int(number)
