"""What would become of a message now: decodes it as a writer of this version would, and stores nothing."""

from __future__ import annotations

import time
from collections import Counter
from datetime import datetime
from typing import NamedTuple, assert_never

from traksense_ingest.ops.terminal import number
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.failure import describe
from traksense_ingest.shared.mapping.load import load
from traksense_ingest.shared.streams.keys import key_of
from traksense_ingest.writer.decode.current import compiled
from traksense_ingest.writer.decode.measures import Measures
from traksense_ingest.writer.entry import Entry
from traksense_ingest.writer.outcome import (
    AckRow,
    AwaitsBirth,
    CommandRow,
    Decoded,
    Deferred,
    EventRow,
    Ignored,
    Rejected,
)

STORED, IGNORED, FAILS = "would be stored", "would be ignored", "makes the writer fail"


class Forecast(NamedTuple):
    """One of the outcomes above or the Forecaster's `rejected`, and its detail."""

    outcome: str
    detail: str


class Forecaster:
    """Decodes within the limits that the operator set, as a writer would."""

    def __init__(self, settings: Settings, rejected: str) -> None:
        """`rejected` is what the command calls the outcome of a message that becomes a dead letter."""
        mappings = load(settings.ingest_mappings)
        self.mappings = mappings.digests
        self.rejected = rejected
        self._routes = compiled(settings, mappings)

    def of(self, topic: bytes, payload: bytes, received_at: datetime, *, replayed: bool = True) -> Forecast:
        """The outcome of a message that is appended now. Of Sparkplug's, the messages before it count."""
        id_ = f"{time.time_ns() // 1_000_000}-0"
        match self._routes.decode(Entry(key_of(0), id_, topic, payload, received_at, 1, replayed=replayed)):
            case Decoded() as decoded:
                return Forecast(STORED, _rows(decoded))
            case Rejected() as rejected:
                return Forecast(self.rejected, rejected.reason)
            case Ignored() as ignored:
                return Forecast(IGNORED, f"{ignored.reason}: there is nothing to store")
            case AwaitsBirth() as waiting:
                return Forecast(self.rejected, waiting.reason)
            case Deferred() as deferred:
                return Forecast(FAILS, describe(deferred.error))


def _rows(decoded: Decoded) -> str:
    """Rows that exist already would be duplicates, which only the database knows."""
    counts = Counter[str]()
    for rows in decoded.rows:
        match rows:
            case Measures():
                counts["ts_measure"] += len(rows)
            case AckRow():
                counts["cmd_ack"] += 1
            case CommandRow():
                counts["command"] += 1
            case EventRow():
                counts["device_event"] += 1
            case _:
                assert_never(rows)
    return ", ".join(f"{number(count, 'row')} of {table}" for table, count in counts.items()) or "no rows"
