"""A payload for a person, with an arrow where its reason says that it is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len

from ops.dlq.json_lines import Line, Path, find, lines, parse
from ops.dlq.letter import Letter
from ops.dlq.place import places, position
from ops.dlq.readable import number, printable

HEAD, BEFORE, AFTER = 10, 8, 4  # lines that are shown: the first ones, and those around an arrow
EXCERPT = 30  # characters of a long line that are shown on either side of a caret


def payload_lines(letter: Letter, *, full: bool) -> Iterator[str]:
    """The payload as JSON where it is JSON, else as the text that it is; bounded unless `full`."""
    text = letter.payload.decode(errors="replace")
    try:
        value = parse(text)
        arrows = dict(_arrows(value, letter.reason))
        shown = [_with_arrow(line, arrows) for line in lines(value)]
    except (ValueError, RecursionError):
        yield from _text(text, position(letter.reason), letter.reason, full)
        return
    yield from _bounded(shown, full)


def _arrows(value: object, reason: str) -> Iterator[tuple[Path, str]]:
    """The paths to point at, and what to say there. Of a place that isn't there, what it is missing from."""
    for where, what in reversed(places(reason)):
        if not where.startswith("topic"):
            yield find(value, where), f"{where}: {what}"


def _with_arrow(line: Line, arrows: dict[Path, str]) -> tuple[str, bool]:
    told = None if line.path is None else arrows.get(line.path)
    text = printable(line.text)
    return (f"{text}   ◀ here: {printable(told)}", True) if told else (text, False)


def _bounded(shown: Sequence[tuple[str, bool]], full: bool) -> Iterator[str]:
    arrows = [place for place, (_, has_arrow) in enumerate(shown) if has_arrow]
    kept = {*range(HEAD), *(near for arrow in arrows for near in range(arrow - BEFORE, arrow + AFTER + 1))}
    if len(shown) <= HEAD + BEFORE + AFTER or full:
        kept = set(range(len(shown)))
    yield from _elided((text for text, _ in shown), kept)


def _elided(shown: Iterable[str], kept: set[int]) -> Iterator[str]:
    hidden = 0
    for place, text in enumerate(shown):
        if place not in kept:
            hidden += 1
            continue
        if hidden:
            yield f"… {number(hidden, 'line')}: --full"
            hidden = 0
        yield text
    if hidden:
        yield f"… {number(hidden, 'line')}: --full"


def _text(text: str, at: tuple[int, int] | None, reason: str, full: bool) -> Iterator[str]:
    rows = text.split("\n")
    line, column = at or (0, 0)
    kept = {*range(HEAD), *range(line - BEFORE, line + AFTER)}
    for place, row in enumerate(rows, start=1):
        if place - 1 in kept or full or len(rows) <= HEAD + BEFORE + AFTER:
            yield from _pointed(row, column, full) if place == line else [_short(printable(row), full)]
        elif place - 2 in kept:
            yield "… more lines: --full"
    if at and line > len(rows):
        yield f"^ here: the end ({printable(reason)})"


def _pointed(row: str, column: int, full: bool) -> Iterator[str]:
    """The line around a column that counts bytes, and a caret below it."""
    before = row.encode()[: max(column - 1, 0)].decode(errors="ignore")
    start = 0 if full else max(0, len(before) - EXCERPT)
    end = len(row) if full else len(before) + EXCERPT
    left = ("…" if start else "") + printable(before[start:])
    yield left + printable(row[len(before) : end]) + ("…" if end < len(row) else "")
    yield " " * cell_len(left) + "^ here"


def _short(row: str, full: bool) -> str:
    return row if full or len(row) <= 5 * EXCERPT else row[: 5 * EXCERPT] + "…"
