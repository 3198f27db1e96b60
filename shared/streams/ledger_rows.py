"""The copy of each ledger in the database: table `stream_ledger`.

An update names the revision that it replaces, so a snapshot that is written late never replaces a newer one. Read the
row before taking a snapshot of the stream: then the snapshot is the later one of the two. No clock is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from traksense_ingest.shared.streams.ledger import Ledger
from traksense_ingest.shared.streams.snapshot import StreamSnapshot

_READ = """
SELECT stream, added, stored, dead_lettered, ignored, removed, duplicates, in_stream, last_id, revision, is_closed,
    lost, seen_at, extract(epoch FROM now() - seen_at)::float8 AS age_s
FROM stream_ledger
"""

_REPLACE = """
INSERT INTO stream_ledger AS old (
    stream, added, stored, dead_lettered, ignored, removed, duplicates, in_stream, last_id, revision, is_closed, lost,
    seen_at
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, now())
ON CONFLICT (stream) DO UPDATE SET
    added = excluded.added,
    stored = excluded.stored,
    dead_lettered = excluded.dead_lettered,
    ignored = excluded.ignored,
    removed = excluded.removed,
    duplicates = excluded.duplicates,
    in_stream = excluded.in_stream,
    last_id = excluded.last_id,
    revision = excluded.revision,
    is_closed = excluded.is_closed,
    lost = old.lost + excluded.lost,
    seen_at = excluded.seen_at
WHERE (old.revision, old.is_closed) = ($13, $14)
RETURNING stream, added, stored, dead_lettered, ignored, removed, duplicates, in_stream, last_id, revision, is_closed,
    lost, seen_at
"""


@dataclass(frozen=True, kw_only=True)
class LedgerRow(Ledger):
    """The last copy of a stream's ledger; the defaults are those of a stream without one."""

    is_closed: bool = False  # the loss of entries is counted, the ledger still has to be reset
    lost: int = 0  # entries that were lost unsettled with the stream, until an operator accepts it
    seen_at: datetime | None = None
    age_s: float = 1.0  # since then, by the database's own clock

    def lost_since(self, now: StreamSnapshot) -> int:
        """Entries that were lost unsettled since then, and that no writer has recorded yet; `now` was taken after the
        row was read. What was missing before is no longer in the ledger, so it counts here."""
        if self.is_closed or self.precedes(now):
            return 0
        return self.gone_in(now, now.remaining) + max(self.missing, 0)


class LedgerRows:
    """Reads and replaces the rows. Raises what asyncpg raises."""

    def __init__(self, database: Any, answer_s: float = 5.0) -> None:
        """`database` has asyncpg's `fetch` and `fetchrow`; it counts as unreachable after `answer_s` seconds."""
        self._database = database
        self._answer_s = answer_s

    async def read(self) -> dict[str, LedgerRow]:
        """All of them, by stream."""
        rows = await self._database.fetch(_READ, timeout=self._answer_s)
        return {row["stream"]: LedgerRow(**row) for row in rows}

    async def replace(self, row: LedgerRow, now: Ledger, *, lost: int = 0, is_closed: bool = False) -> LedgerRow | None:
        """Replace a row by a newer state, and add to what is lost. None, with nothing changed, if another process has
        changed the row since it was read."""
        settled = (now.stored, now.dead_lettered, now.ignored)
        figures = (now.added, *settled, now.removed, now.duplicates, now.in_stream, now.last_id, now.revision)
        arguments = (row.stream, *figures, is_closed, lost, row.revision, row.is_closed)
        written = await self._database.fetchrow(_REPLACE, *arguments, timeout=self._answer_s)
        return LedgerRow(**written) if written else None
