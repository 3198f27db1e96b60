"""The rows of a decoded message, by table."""

from __future__ import annotations

from traksense_ingest.writer.decode.measures import Measure, Measures
from traksense_ingest.writer.outcome import AckRow, CommandRow, Decoded, EventRow


def measures_in(outcome: Decoded) -> Measures:
    """Of a message that is known to be telemetry."""
    (rows,) = outcome.rows
    assert isinstance(rows, Measures)
    return rows


def points_in(outcome: Decoded) -> list[Measure]:
    """Rows of ts_measure: none where the message is of another kind."""
    return [point for rows in outcome.rows if isinstance(rows, Measures) for point in rows]


def ack_in(outcome: Decoded) -> AckRow:
    """Of a message that is known to be an ACK."""
    (row,) = outcome.rows
    assert isinstance(row, AckRow)
    return row


def command_in(outcome: Decoded) -> CommandRow:
    """Of a message that is known to be a command."""
    (row,) = outcome.rows
    assert isinstance(row, CommandRow)
    return row


def event_in(outcome: Decoded) -> EventRow:
    """Of a message that is known to be an event."""
    (row,) = outcome.rows
    assert isinstance(row, EventRow)
    return row


def rows_of(outcome: Decoded) -> list[Measure | AckRow | EventRow | CommandRow]:
    """Every row of a message, whatever its table."""
    return [row for rows in outcome.rows for row in (rows if isinstance(rows, Measures) else [rows])]
