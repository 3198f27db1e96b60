"""Text in columns: as wide as the terminal, or in a pipe as wide as it is."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence

from rich.cells import cell_len, set_cell_size

LEAST = 6  # columns of a terminal that a column of text keeps


def screen_width() -> int | None:
    """Columns of the terminal, or of COLUMNS where it is set; None in a pipe: nothing is shortened."""
    if not (sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal()):
        return None
    return max(shutil.get_terminal_size().columns, 20)


def shortened(text: str, width: int | None) -> str:
    """At most `width` columns, with … for what is left out."""
    if width is None or cell_len(text) <= width:
        return text
    return set_cell_size(text, max(width - 1, 0)).rstrip() + "…"


def columns(
    rows: Sequence[Sequence[str]], width: int | None, right: Sequence[int] = (), indent: str = ""
) -> Iterator[str]:
    """Rows of texts as lines; the columns in `right` are aligned there. Of lines that are too long the widest columns
    are shortened."""
    if not rows:
        return
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    if width is not None:
        _shrink(widths, width - len(indent) - 2 * (len(widths) - 1))
    for row in rows:
        cells = (_cell(text, size, index in right) for index, (text, size) in enumerate(zip(row, widths, strict=True)))
        yield (indent + "  ".join(cells)).rstrip()


def _shrink(widths: list[int], room: int) -> None:
    while sum(widths) > room:
        widest = max(range(len(widths)), key=widths.__getitem__)
        if widths[widest] <= LEAST:
            return
        others = sorted(widths)[-2] if len(widths) > 1 else 0
        widths[widest] = max(LEAST, room - (sum(widths) - widths[widest]), min(others, widths[widest] - 1))


def _cell(text: str, width: int, is_right: bool) -> str:
    text = shortened(text, width)
    blanks = " " * (width - cell_len(text))
    return blanks + text if is_right else text + blanks


def wrapped(text: str, width: int | None, indent: str = "") -> Iterator[str]:
    """A paragraph in lines; words are never cut."""
    line = ""
    for word in text.split():
        if line and width is not None and cell_len(indent) + cell_len(line) + 1 + cell_len(word) > width:
            yield indent + line
            line = word
        else:
            line = f"{line} {word}" if line else word
    if line:
        yield indent + line
