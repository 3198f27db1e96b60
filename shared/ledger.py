"""The figures of a stream, and whether one look at them can be the past of another."""

from __future__ import annotations

from dataclasses import dataclass

ID_0 = "0-0"


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """A stream and its ledger at one instant. In entries, but for `duplicates`."""

    stream: str
    added: int = 0  # that were ever added
    stored: int = 0  # messages that were settled as stored
    dead_lettered: int = 0  # … and as dead letters
    removed: int = 0  # by other hands, and written off; below zero after the stream was deleted
    duplicates: int = 0  # rows that were there already
    in_stream: int = 0  # the backlog
    last_id: str = ID_0  # the last id that the stream gave
    looks: int = 0  # how often a writer has looked before, to keep what it saw

    @property
    def settled(self) -> int:
        """What writers took out of the stream."""
        return self.stored + self.dead_lettered

    @property
    def unaccounted(self) -> int:
        """Entries that left the stream without a writer. Fewer than before: a writer has stored what was trimmed while
        it had it in hand, or the stream began anew."""
        return self.added - self.settled - self.in_stream

    @property
    def missing(self) -> int:
        """Those of them that nobody has written off. Below zero, the stream was deleted with all that was in it."""
        return self.unaccounted - self.removed

    @property
    def figures(self) -> tuple[int | str, ...]:
        """What tells two looks apart."""
        return (self.added, self.settled, self.removed, self.duplicates, self.in_stream, self.last_id)

    def precedes(self, later: Ledger) -> bool:
        """Whether a look that was begun after this one can be of the same stream and ledger.

        If not, one of them was deleted, or Redis was restarted with an older state. `looks` tells it also of a stream
        that has since grown beyond what it was.
        """
        return (
            later.looks >= self.looks
            and later.added >= self.added
            and _position(later.last_id) >= _position(self.last_id)
            and later.unaccounted >= min(self.unaccounted, later.removed)
        )

    def gone_in(self, later: Ledger, remaining: int) -> int:
        """How many entries that were unsettled here are gone in a later look that this one does not precede;
        `remaining` are those in the stream with an id up to `last_id`."""
        if later.looks == 0 and later.unaccounted > self.unaccounted:
            return 0  # the ledger alone was deleted: the stream still counts what it had
        if 0 < later.looks < self.looks:
            # An older state, in which entries that were settled here are in the stream again: what counts is how many
            # ids were never given.
            gone = self.added - (later.added - (later.in_stream - remaining))
        else:
            gone = self.in_stream - remaining
        return min(max(gone, 0), self.in_stream)


def _position(id_: str) -> tuple[int, int]:
    ms, _, number = id_.partition("-")
    return int(ms), int(number)
