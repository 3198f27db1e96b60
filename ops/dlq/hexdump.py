"""Bytes as xxd shows them."""

from __future__ import annotations

from collections.abc import Iterator

WIDTH = 16  # bytes a line: 67 columns
BEFORE = 4  # lines that are shown before the one that is pointed at


def hexdump(data: bytes, lines: int | None = None, mark: int | None = None) -> Iterator[str]:
    """`offset: hex  text`, at most so many lines (None: all of them), with an arrow at the byte `mark`."""
    first = _first(lines, mark)
    shown = data[first : first + lines * WIDTH] if lines else data
    if first:
        yield f"… {first} bytes before"
    for offset in range(first, first + len(shown), WIDTH):
        arrow = f"  ◀ byte {mark}" if mark is not None and offset <= mark < offset + WIDTH else ""
        yield _line(offset, data[offset : offset + WIDTH]) + arrow
    if after := len(data) - first - len(shown):
        yield f"… {after} bytes more: --full"


def _first(lines: int | None, mark: int | None) -> int:
    if lines is None or mark is None or mark < lines * WIDTH:
        return 0
    return max(0, mark // WIDTH - BEFORE) * WIDTH


def _line(offset: int, data: bytes) -> str:
    pairs = " ".join(data[at : at + 2].hex() for at in range(0, len(data), 2))
    text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data)
    return f"{offset:08x}: {pairs:<39}  {text}"
