"""What devices sent, fit for a terminal."""

from __future__ import annotations

from datetime import UTC, datetime


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
