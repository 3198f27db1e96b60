"""The line of a file where an error is, with a caret below the column."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from rich.cells import cell_len

from traksense_ingest.ops.terminal import printable
from traksense_ingest.shared.mapping.load import LIBRARY
from traksense_ingest.shared.mapping.points import Place

_WORD = re.compile(r"[\w.-]+")

BEFORE = 30  # columns that stay visible to the left of the caret, where a line is too long


class Excerpt(NamedTuple):
    """A line of a file, printable, in three parts: the second one begins at the column of the place."""

    before: str
    at: str  # the word there, or one character
    after: str


def excerpt_of(place: Place, texts: Mapping[str, str] | None = None) -> Excerpt | None:
    """None if the file can't be read, or has no such line. `texts` are files that are not on the disk."""
    lines = (texts or {}).get(place.file)
    rows = _lines(place.file) if lines is None else lines.splitlines()
    if not 1 <= place.line <= len(rows):
        return None
    row = rows[place.line - 1].replace("\t", " ")
    before, rest = row[: place.column - 1], row[place.column - 1 :]
    word = _WORD.match(rest)
    end = word.end() if word else 1
    return Excerpt(printable(before), printable(rest[:end]), printable(rest[end:].rstrip()))


def excerpt(place: Place, width: int | None, texts: Mapping[str, str] | None = None) -> Iterator[str]:
    """Two lines for a terminal; none if there is no such line."""
    found = excerpt_of(place, texts)
    if found is None:
        return
    margin = f"{place.line:>5} | "
    room = None if width is None else width - len(margin)
    left, right = found.before, found.at + found.after
    if room is not None and cell_len(left) + cell_len(right) > room and cell_len(left) > BEFORE:
        left = "…" + left[1 - BEFORE :]
    if room is not None:
        right = _cut(right, room - cell_len(left))
    yield f"{margin}{left}{right}".rstrip()
    yield f"{' ' * (len(margin) - 2)}| {' ' * cell_len(left)}^"


def _cut(text: str, width: int) -> str:
    if cell_len(text) <= width:
        return text
    kept = ""
    for char in text:
        if cell_len(kept) + cell_len(char) >= width:
            break
        kept += char
    return kept + "…"


def _lines(file: str) -> list[str]:
    for path in (Path(file), LIBRARY / file):  # of the library only the name is shown
        try:
            return _lines_of(path.absolute(), path.stat().st_mtime_ns)
        except OSError:
            continue
    return []


@lru_cache(maxsize=16)  # a file may have thousands of faults
def _lines_of(path: Path, _changed_ns: int) -> list[str]:
    return path.read_bytes().decode(errors="replace").splitlines()
