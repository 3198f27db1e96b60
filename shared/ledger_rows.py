"""The copy of each ledger in the database: table `stream_ledger`.

A row changes only for who knows its present state, so a look that was written late never replaces a newer one; and
who reads the row before it looks at the stream compares in the order in which things happened. No clock is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.ledger import Ledger
from shared.shard import Shard

_READ = """
SELECT stream, added, stored, dead_lettered, removed, duplicates, in_stream, last_id, looks, is_closed, lost, seen_at,
    extract(epoch FROM now() - seen_at)::float8 AS age_s
FROM stream_ledger
"""

_REPLACE = """
INSERT INTO stream_ledger AS old (
    stream, added, stored, dead_lettered, removed, duplicates, in_stream, last_id, looks, is_closed, lost, seen_at
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, now())
ON CONFLICT (stream) DO UPDATE SET
    added = excluded.added,
    stored = excluded.stored,
    dead_lettered = excluded.dead_lettered,
    removed = excluded.removed,
    duplicates = excluded.duplicates,
    in_stream = excluded.in_stream,
    last_id = excluded.last_id,
    looks = excluded.looks,
    is_closed = excluded.is_closed,
    lost = old.lost + excluded.lost,
    seen_at = excluded.seen_at
WHERE (old.looks, old.is_closed) = ($12, $13)
RETURNING stream, added, stored, dead_lettered, removed, duplicates, in_stream, last_id, looks, is_closed, lost, seen_at
"""


@dataclass(frozen=True, kw_only=True)
class LedgerRow(Ledger):
    """What the database remembers of a stream; as it is here, of one that it has never heard of."""

    is_closed: bool = False  # the stream has begun anew, its ledger has not yet
    lost: int = 0  # entries that went unsettled with the stream, until somebody accepts it
    seen_at: datetime | None = None
    age_s: float = 1.0  # since then, by the database's own clock

    def lost_since(self, now: Shard) -> int:
        """Entries that are gone since then without being settled, and that no writer has noticed yet; `now` was read
        after it. What was missing already goes with a ledger, and counts here then."""
        if self.is_closed or self.precedes(now):
            return 0
        return self.gone_in(now, now.remaining) + max(self.missing, 0)


class LedgerRows:
    """Reads and replaces the rows. Raises what asyncpg raises."""

    def __init__(self, database: Any, answer_s: float = 5.0) -> None:
        """`database` has asyncpg's `fetch` and `fetchrow`; one that takes longer than so many seconds is away."""
        self._database = database
        self._answer_s = answer_s

    async def read(self) -> dict[str, LedgerRow]:
        """All of them, by stream."""
        rows = await self._database.fetch(_READ, timeout=self._answer_s)
        return {row["stream"]: LedgerRow(**row) for row in rows}

    async def replace(self, row: LedgerRow, now: Ledger, *, lost: int = 0, is_closed: bool = False) -> LedgerRow | None:
        """Put another look in a row's place, and add to what is lost. None, with nothing changed, when somebody else
        has changed the row since it was read."""
        figures = (now.added, now.stored, now.dead_lettered, now.removed, now.duplicates, now.in_stream, now.last_id)
        arguments = (row.stream, *figures, now.looks, is_closed, lost, row.looks, row.is_closed)
        written = await self._database.fetchrow(_REPLACE, *arguments, timeout=self._answer_s)
        return LedgerRow(**written) if written else None
