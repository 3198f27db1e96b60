"""How the tables of the screen look, and the times in them."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from ops.dlq.readable import printable

WIDE = 80  # columns of a terminal: from here on there is room between those of a table


def gap(width: int) -> int:
    """Blanks between two columns of a table."""
    return 2 if width >= WIDE else 1


def table(width: int, name: str, *figures: str, no_wrap: bool = False) -> Table:
    """The first column is a name, which is folded where it is too long."""
    made = Table(box=None, padding=(0, gap(width), 0, 0), pad_edge=False, header_style="bold")
    made.add_column(name, overflow="fold", no_wrap=no_wrap)
    for heading in figures:
        made.add_column(heading, justify="right", no_wrap=True)
    return made


def table_that_tells(width: int, name: str, *figures: str, no_wrap: bool = False) -> Table:
    """With a last column that has no heading, and is for a word or two."""
    made = table(width, name, *figures, no_wrap=no_wrap)
    made.add_column("", overflow="fold")
    return made


def name(text: str) -> Text:
    """What other hands may have named."""
    return Text(printable(text))


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
