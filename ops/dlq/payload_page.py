"""A payload for a page: its lines with the wrong place marked, and in hex where it is not text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from traksense_ingest.ops.dlq.hexdump import HEX_LINES, Hex, hex_of
from traksense_ingest.ops.dlq.payload import Row, content_of, rows, wrong_byte

WIDTH = 200  # characters of a long line on either side of the wrong place
LINE_MAX = 5 * WIDTH  # characters of a line, unless all is shown

_WRONG = re.compile(r"\w+|.", re.DOTALL)  # what is marked: the rest of a word, or a character


class Line(NamedTuple):
    """A line in three parts: what is before the wrong place, the wrong place, and what is after it."""

    number: int | None  # from 1; None if it is not a line of the payload
    before: str
    wrong: str | None  # None where nothing is wrong
    after: str
    note: str | None  # what is wrong
    hidden: int  # lines that are left out here, instead of a text
    is_cut: bool = False

    @classmethod
    def of(cls, row: Row, longest: int | None) -> Line:
        """With at most `longest` characters of what is left of the text; None: all of it."""
        before, wrong, after = _parts(row)
        shown = [before, wrong or "", after]
        if is_cut := longest is not None and len(row.text) > longest:
            shown = [part if len(part) <= longest else f"{part[:longest]}…" for part in shown]
        is_wrong = wrong is not None
        return cls(row.number, shown[0], shown[1] if is_wrong else None, shown[2], row.note, row.hidden, is_cut)


class Shown(NamedTuple):
    """What a page shows of a payload."""

    lines: list[Line]  # none if it is not text
    hex: Hex | None

    @property
    def is_shortened(self) -> bool:
        """Whether something is left out of the lines."""
        return any(line.hidden or line.is_cut for line in self.lines)

    def as_dict(self) -> dict[str, Any]:
        """The same, as values that JSON has."""
        return {"lines": [line._asdict() for line in self.lines], "hex": _hex(self.hex) if self.hex else None}


def shown(payload: bytes, reason: str, *, is_text: bool, full: bool = False) -> Shown:
    """Its lines, unpacked, also of a packed one that is not text itself; `full` leaves out none of them."""
    has_lines = is_text or content_of(payload) != payload
    found: Iterable[Row] = rows(payload, reason, full=full, width=WIDTH) if has_lines else ()
    lines = [Line.of(row, None if full else LINE_MAX) for row in found]
    return Shown(lines, None if is_text else hex_of(payload, HEX_LINES, wrong_byte(reason)))


def _parts(row: Row) -> tuple[str, str | None, str]:
    if row.column is not None:
        found = _WRONG.match(row.text, row.column)
        end = found.end() if found else row.column
        return row.text[: row.column], row.text[row.column : end], row.text[end:]
    if row.note is not None:
        text = row.text.lstrip(" ")
        return row.text[: len(row.text) - len(text)], text, ""
    return row.text, None, ""


def _hex(found: Hex) -> dict[str, Any]:
    return {"before": found.before, "rows": [*_hex_rows(found)], "after": found.after}


def _hex_rows(found: Hex) -> Iterator[dict[str, Any]]:
    for row in found.rows:
        yield {"offset": row.offset, "data": [*row.data], "text": row.text, "mark": row.mark}
