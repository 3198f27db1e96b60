"""Text for a terminal: names that may come from anybody, times and counts, and tables without lines."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.table import Table
from rich.text import Text

LONGEST_S = 3600  # the last bound of a histogram: of longer times it counts how many there are
WIDE = 80  # columns of a terminal: from here on there are two blanks between the columns of a table


def printable(text: str) -> str:
    """One line: what would move the cursor, colour the screen or be invisible is shown as an escape."""
    return text if text.isprintable() else "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return ascii(char)[1:-1]


def at(moment: datetime | None) -> str:
    """A time in UTC, to the second."""
    return "–" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def number(count: int, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def duration(seconds: float | None) -> str:
    """`420 ms`, `95 s`, `11 min`, `30 h`, `5 d`."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for unit, length, most in (("s", 1, 600), ("min", 60, 600), ("h", 3600, 100)):
        if seconds < most * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def latency(seconds: float | None) -> str:
    """`24 ms`, `1.3 s`, `> 1 h`."""
    if seconds is None:
        return "–"
    if seconds >= LONGEST_S:
        return "> 1 h"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def rate(per_s: float | None) -> str:
    """`0`, `0.4`, `1490`: a number per second."""
    if per_s is None:
        return "–"
    return f"{per_s:.1f}" if 0 < per_s < 10 and per_s != round(per_s) else f"{per_s:.0f}"


def gap(width: int) -> int:
    """Blanks between two columns of a table."""
    return 2 if width >= WIDE else 1


def table(width: int, name: str, *figures: str, no_wrap: bool = False) -> Table:
    """The first column is a name, which is folded if it is too long."""
    made = Table(box=None, padding=(0, gap(width), 0, 0), pad_edge=False, header_style="bold")
    made.add_column(name, overflow="fold", no_wrap=no_wrap)
    for heading in figures:
        made.add_column(heading, justify="right", no_wrap=True)
    return made


def table_with_notes(width: int, name: str, *figures: str, no_wrap: bool = False) -> Table:
    """With a last column that has no heading, for a word or two."""
    made = table(width, name, *figures, no_wrap=no_wrap)
    made.add_column("", overflow="fold")
    return made


def safe_name(text: str) -> Text:
    """A name that any client of Redis may have written."""
    return Text(printable(text))
