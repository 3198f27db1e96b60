"""Text in columns: as wide as the terminal, or in a pipe as wide as it is. Nothing is left out."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from rich.cells import cell_len

_WORD = re.compile(r" *[^ ]+")  # with the blanks before it, which are part of a value
_LEVEL = re.compile(r" *[^ /]*/|[^/]+$")  # of a word that is a topic, with the / behind it


def screen_width() -> int | None:
    """Columns of the terminal, or of COLUMNS where it is set; None in a pipe: nothing is wrapped."""
    if not (sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal()):
        return None
    return max(shutil.get_terminal_size().columns, 20)


def columns(
    rows: Sequence[Sequence[str]],
    width: int | None,
    right: Sequence[int] = (),
    indent: str = "",
    header: Sequence[str] = (),
) -> Iterator[str]:
    """Rows of texts as lines; the columns in `right` are aligned there. Where they are too wide, texts are wrapped
    between words, and topics between levels; where that isn't enough, the texts of a row are below each other."""
    lines = [header, *rows] if header else rows
    if not lines:
        return
    widths = _widths(lines, None if width is None else width - len(indent))
    if widths is None:
        for row in rows:
            yield from _listed(row, width, indent, header)
        return
    for row in lines:
        wraps = (_lines(_cut(text, size), size) for text, size in zip(row, widths, strict=True))
        for texts in zip_longest(*wraps, fillvalue=""):
            cells = (_cell(text, widths[index], index in right) for index, text in enumerate(texts))
            yield (indent + "  ".join(cells)).rstrip()


def _widths(lines: Sequence[Sequence[str]], width: int | None) -> list[int] | None:
    """Of the columns, the widest of which are wrapped; None if even the longest words don't fit."""
    by_column = list(zip(*lines, strict=True))
    widths = [max(map(cell_len, column)) for column in by_column]
    if width is None:
        return widths
    least = [
        max((cell_len(level.strip(" ")) for text in column for level in _levels(text)), default=0)
        for column in by_column
    ]
    room = width - 2 * (len(widths) - 1)
    if sum(least) > room:
        return None
    while (excess := sum(widths) - room) > 0:
        widest = max((index for index, size in enumerate(widths) if size > least[index]), key=widths.__getitem__)
        others = sorted(widths)[-2] if len(widths) > 1 else 0
        smaller = max(least[widest], widths[widest] - excess, min(others, widths[widest] - 1))
        widths[widest] = smaller
    return widths


def _listed(row: Sequence[str], width: int | None, indent: str, header: Sequence[str]) -> Iterator[str]:
    margin = indent
    for name, text in zip_longest(header, row, fillvalue=""):
        if text:
            yield from wrapped(f"{name}: {text}" if name else text, width, margin)
            margin = indent + "  "


def _cell(text: str, width: int, is_right: bool) -> str:
    blanks = " " * (width - cell_len(text))
    return blanks + text if is_right else text + blanks


def wrapped(text: str, width: int | None, indent: str = "") -> Iterator[str]:
    """A paragraph in lines; words are never cut."""
    room = None if width is None else width - cell_len(indent)
    return (indent + line for line in _lines(_WORD.findall(text), room))


def _levels(text: str) -> list[str]:
    return [level for word in _WORD.findall(text) for level in _LEVEL.findall(word)]


def _cut(text: str, room: int) -> Iterator[str]:
    """The words, and the levels of those that are too long."""
    for word in _WORD.findall(text):
        yield from [word] if cell_len(word.lstrip(" ")) <= room else _LEVEL.findall(word)


def _lines(words: Iterable[str], room: int | None) -> Iterator[str]:
    line = ""
    for word in words:
        if room is not None and cell_len(line) + cell_len(word) > room:
            if line:
                yield line
            line = word.lstrip(" ")
        else:
            line += word
    if line.strip(" "):
        yield line
