"""What the writer of this version would make of a dead letter: decoded, and nothing stored."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import NamedTuple

from ops.dlq.letter import Letter
from ops.dlq.readable import number
from shared.config import Settings
from shared.failure import describe
from writer.decode import Decoder
from writer.entry import Entry
from writer.outcome import Decoded, Deferred, Rejected

GOOD, BAD, FAILS, INEXACT = "would be stored", "rejected again", "makes the writer fail", "can't be replayed"


class Forecast(NamedTuple):
    """One of the four words above, and what exactly."""

    outcome: str
    detail: str


class Forecaster:
    """Decodes within the limits that the operator set, as a writer would."""

    def __init__(self, settings: Settings) -> None:
        self._decoder = Decoder(settings.ingest_max_payload_bytes, settings.ingest_max_future_s)

    def of(self, letter: Letter) -> Forecast:
        """What would become of it now."""
        if letter.obstacle:
            return Forecast(INEXACT, letter.obstacle)
        id_ = f"{time.time_ns() // 1_000_000}-0"
        entry = Entry(letter.stream, id_, letter.topic.encode(), letter.payload, datetime.now(UTC), 1)
        match self._decoder.decode(entry):
            case Decoded() as decoded:
                return Forecast(GOOD, _rows(decoded))
            case Rejected() as rejected:
                return Forecast(BAD, rejected.reason)
            case Deferred() as deferred:
                return Forecast(FAILS, describe(deferred.error))


def _rows(decoded: Decoded) -> str:
    """What is there already counts as a duplicate, which only the database can tell."""
    if decoded.ack:
        return "1 row of cmd_ack"
    return "1 row of device_event" if decoded.event else f"{number(len(decoded.measures), 'row')} of ts_measure"
