"""Bytes in hex, as xxd shows them, with a mark at the wrong one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

HEX_WIDTH = 16  # bytes a line: 67 columns
HEX_BEFORE = 4  # lines that are shown before the one that is pointed at
HEX_LINES = 16  # of the hexdump that are shown: 256 bytes


class HexRow(NamedTuple):
    """A line: where it begins, its bytes, and which of them is wrong, counted from 0 in the line."""

    offset: int
    data: bytes
    mark: int | None

    @property
    def text(self) -> str:
        """The bytes that are ASCII; a dot for each other one."""
        return "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in self.data)


class Hex(NamedTuple):
    """The lines that are shown, and how many bytes are not, before and after them."""

    before: int
    rows: list[HexRow]
    after: int


def hex_of(data: bytes, lines: int | None = None, mark: int | None = None) -> Hex:
    """At most `lines` lines (None: all of them), among them the one with the byte `mark`."""
    first = _first(lines, mark)
    end = min(len(data), first + lines * HEX_WIDTH) if lines else len(data)
    rows = [
        HexRow(offset, data[offset : min(offset + HEX_WIDTH, end)], _within(offset, mark))
        for offset in range(first, end, HEX_WIDTH)
    ]
    return Hex(first, rows, len(data) - end)


def hexdump(data: bytes, lines: int | None = None, mark: int | None = None) -> Iterator[str]:
    """For a terminal: `offset: hex  text`, with an arrow at the byte `mark`."""
    found = hex_of(data, lines, mark)
    if found.before:
        yield f"… {found.before} bytes before"
    for row in found.rows:
        pairs = " ".join(row.data[at : at + 2].hex() for at in range(0, len(row.data), 2))
        arrow = "" if row.mark is None else f"  ◀ byte {mark}"
        yield f"{row.offset:08x}: {pairs:<39}  {row.text}{arrow}"
    if found.after:
        yield f"… {found.after} bytes more: --full"


def _first(lines: int | None, mark: int | None) -> int:
    if lines is None or mark is None or mark < lines * HEX_WIDTH:
        return 0
    return max(0, mark // HEX_WIDTH - min(HEX_BEFORE, lines - 1)) * HEX_WIDTH


def _within(offset: int, mark: int | None) -> int | None:
    return mark - offset if mark is not None and offset <= mark < offset + HEX_WIDTH else None
