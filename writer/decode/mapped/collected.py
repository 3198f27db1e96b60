"""What the records of one message have become so far."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from traksense_ingest.writer.decode.mapped.scope import BYTES_MAX, Scope
from traksense_ingest.writer.decode.measures import Measures
from traksense_ingest.writer.outcome import Poison, Rows, Sighting

ROWS_OF_ONE = 1000  # of a small message, at most: so that nothing has to be counted for nearly all of them

Who = tuple[str, str, str]  # tenant, site, device


class Collected:
    """Rows, and the devices that were seen."""

    __slots__ = ("_scope", "devices", "rows")

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.rows: list[Rows] = []
        self.devices: dict[tuple[str, str], Sighting] = {}

    def add(self, who: Who, ts: datetime | None, meta: str | None, rows: tuple[Rows, ...]) -> None:
        """Those of one record; raises Poison where a message has too many."""
        scope = self._scope
        for one in rows:
            count = count_of(one)
            scope.take_rows(count)
            if meta is not None:
                scope.take_size(len(meta) * count, "meta")
        self.rows += rows
        entry = scope.entry
        seen = (ts or scope.device_ts) if entry.retained else entry.received_at
        if seen is not None and scope.is_online:
            self._see(who, meta, seen)

    def _see(self, who: Who, meta: str | None, seen: datetime) -> None:
        tenant, site, device = who
        known = self.devices.get((tenant, device))
        if known is not None:
            seen, meta = max(seen, known.seen), meta if meta is not None else known.meta
        self.devices[tenant, device] = Sighting(tenant, device, site, meta, seen)


def count_of(rows: Rows) -> int:
    """How many rows of a table these are."""
    return len(rows) if isinstance(rows, Measures) else 1


def check_texts(rows: Sequence[Rows], payload_bytes: int, label: str) -> None:
    """Raise Poison where texts of the message are repeated in too many rows."""
    if len(rows) == 1 and payload_bytes * ROWS_OF_ONE <= BYTES_MAX:
        return
    measures = [one for one in rows if isinstance(one, Measures)]
    if sum(map(len, measures)) * payload_bytes <= BYTES_MAX:
        return
    texts = (reading[3] for one in measures for reading in one.readings)
    size = sum(len(text) for text in texts if text is not None)
    if size > BYTES_MAX:
        raise Poison("payload_too_large", f"{label}: points", f"{size} characters of text in all rows")
