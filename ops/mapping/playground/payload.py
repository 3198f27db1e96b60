"""A payload as numbered lines, with a note on those where the reason says that it is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from traksense_ingest.ops.dlq.hexdump import HEX_LINES, hexdump
from traksense_ingest.ops.dlq.payload import content_of, faults, find, lines, parse, position, wrong_byte
from traksense_ingest.ops.terminal import printable

HEAD, NEAR = 40, 8  # lines that are shown: the first ones, and those around a note
COLUMNS = 300  # characters of a line that are shown


class Line(NamedTuple):
    """A line of a payload; `number` is None where some are left out, or where it shows bytes in hexadecimal."""

    number: int | None
    text: str
    note: str | None = None  # what is wrong on it


def payload_lines(payload: bytes, reason: str) -> list[Line]:
    """Its JSON with a value on each line, else its text as it is; in hexadecimal where it is no text."""
    try:
        text = content_of(payload).decode()
    except UnicodeDecodeError:
        return list(_hexadecimal(payload, wrong_byte(reason)))
    try:
        found = list(_json(text, reason))
    except (ValueError, RecursionError):
        found = list(_text(text, reason))
    return list(_near(found))


def _json(text: str, reason: str) -> Iterator[Line]:
    value = parse(text)
    notes = {
        find(value, where): f"{where}: {what}"
        for where, what in reversed(faults(reason))
        if not where.startswith("topic")
    }
    for number, line in enumerate(lines(value), start=1):
        yield _line(number, line.text, None if line.path is None else notes.get(line.path))


def _text(text: str, reason: str) -> Iterator[Line]:
    """A reason has the column in bytes."""
    at, column = position(reason) or (0, 0)
    rows = text.split("\n")
    what = reason.partition(": ")[2] or reason
    for number, row in enumerate(rows, start=1):
        if number != min(at, len(rows)):
            yield _line(number, row, None)
            continue
        before = row.encode()[: max(column - 1, 0)].decode(errors="ignore")
        start = max(0, len(before) - COLUMNS // 2)
        yield _line(number, ("…" if start else "") + row[start:], f"column {len(before) + 1}: {what}")


def _hexadecimal(payload: bytes, mark: int | None) -> Iterator[Line]:
    for row in hexdump(payload, HEX_LINES, mark):
        text, _, note = row.removesuffix(": --full").partition("  ◀ ")
        yield Line(None, text, note or None)


def _line(number: int, text: str, note: str | None) -> Line:
    shown = text if len(text) <= COLUMNS else f"{text[:COLUMNS]}…"
    return Line(number, printable(shown), None if note is None else printable(note))


def _near(found: Sequence[Line]) -> Iterator[Line]:
    """The first lines, and those around notes."""
    marks = [index for index, line in enumerate(found) if line.note is not None]
    kept = {*range(HEAD), *(near for mark in marks[:HEAD] for near in range(mark - NEAR, mark + NEAR + 1))}
    hidden = 0
    for index, line in enumerate(found):
        if index not in kept:
            hidden += 1
            continue
        if hidden:
            yield Line(None, f"… {hidden} lines")
            hidden = 0
        yield line
    if hidden:
        yield Line(None, f"… {hidden} lines")
