"""The rows of a decoded message, by table."""

from __future__ import annotations

from traksense_ingest.writer.decode.measures import Measure, Measures
from traksense_ingest.writer.outcome import AckRow, Decoded, EventRow


def measures_in(outcome: Decoded) -> Measures:
    """Of a message that is known to be telemetry."""
    assert isinstance(outcome.rows, Measures)
    return outcome.rows


def points_in(outcome: Decoded) -> list[Measure]:
    """Rows of ts_measure: none where the message is of another kind."""
    return list(outcome.rows) if isinstance(outcome.rows, Measures) else []


def ack_in(outcome: Decoded) -> AckRow:
    """Of a message that is known to be an ACK."""
    assert isinstance(outcome.rows, AckRow)
    return outcome.rows


def event_in(outcome: Decoded) -> EventRow:
    """Of a message that is known to be an event."""
    assert isinstance(outcome.rows, EventRow)
    return outcome.rows
