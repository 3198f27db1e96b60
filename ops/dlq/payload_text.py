"""A payload for a terminal, with an arrow or a caret where it is wrong."""

from __future__ import annotations

from collections.abc import Iterator

from rich.cells import cell_len

from traksense_ingest.ops.dlq.dead_letter import DeadLetter
from traksense_ingest.ops.dlq.payload import Row, rows
from traksense_ingest.ops.terminal import number, printable


def payload_lines(letter: DeadLetter, *, full: bool) -> Iterator[str]:
    """The payload, unpacked, as JSON if it is JSON, else as it is; shortened unless `full`."""
    return payload_lines_of(letter.payload, letter.reason, full=full)


def payload_lines_of(payload: bytes, reason: str, *, full: bool) -> Iterator[str]:
    """The same, of a payload and the reason for which it is rejected."""
    for row in rows(payload, reason, full=full):
        yield from _lines(row)


def _lines(row: Row) -> Iterator[str]:
    if row.hidden:
        yield f"… {number(row.hidden, 'line')}: --full"
    elif row.column is not None:
        left = printable(row.text[: row.column])
        yield left + printable(row.text[row.column :])
        yield " " * cell_len(left) + "^ here"
    elif row.number is None:
        yield f"^ here: {printable(row.note or '')}"
    else:
        yield printable(row.text) + (f"   ◀ here: {printable(row.note)}" if row.note else "")
