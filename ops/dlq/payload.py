"""A payload for a terminal: its JSON with a value on each line, and an arrow where the reason says that it is wrong.

Numbers are shown as they were written, and keys as often as they came. A reason is `class: where: what`, or
`class: where: what; where: what` with several."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from rich.cells import cell_len

from traksense_ingest.ops.dlq.dead_letter import DeadLetter
from traksense_ingest.ops.terminal import number, printable
from traksense_ingest.writer.decode.payload import packing_of, unwrap
from traksense_ingest.writer.outcome import Poison

HEAD, BEFORE, AFTER = 10, 8, 4  # lines that are shown: the first ones, and those around an arrow
UNPACKED_MAX = 1024 * 1024  # bytes
EXCERPT = 30  # characters of a long line that are shown on either side of a caret

_POSITION = re.compile(r" at line (\d+) column (\d+)")
_BYTE = re.compile(r"^parse_error: payload: not UTF-8 at byte (\d+)")

_ROUTE = re.compile(r"^([a-z_]+: )[a-z0-9_-]+/[a-z0-9_-]+: ")  # of a mapping, before the path
_INDEX = re.compile(r"\[(-?\d+|\*)\]|\[\"([^\"]*)\"\]|\['([^']*)'\]")  # as a mapping writes one: records[3]

Path = tuple[str, ...]


def payload_lines(letter: DeadLetter, *, full: bool) -> Iterator[str]:
    """The payload, unpacked, as JSON if it is JSON, else as it is; shortened unless `full`."""
    return payload_lines_of(letter.payload, letter.reason, full=full)


def payload_lines_of(payload: bytes, reason: str, *, full: bool) -> Iterator[str]:
    """The same, of a payload and the reason for which it is rejected."""
    text = content_of(payload).decode(errors="replace")
    try:
        value = parse(text)
        arrows = dict(_arrows(value, reason))
        shown = [_with_arrow(line, arrows) for line in lines(value)]
    except (ValueError, RecursionError):
        yield from _text(text, position(reason), reason, full)
        return
    yield from _bounded(shown, full)


def content_of(payload: bytes) -> bytes:
    """The JSON that a writer would unpack; the payload itself if it is damaged or too large."""
    try:
        return unwrap(payload, packing_of(payload), UNPACKED_MAX)
    except Poison:
        return payload


def packing(payload: bytes) -> str:
    """`gzip`, `zlib` or `zstd`; an empty text if it is not packed, or can't be unpacked as by `content_of`."""
    return packing_of(payload) if content_of(payload) != payload else ""


def _arrows(value: object, reason: str) -> Iterator[tuple[Path, str]]:
    """The paths to point at, and the note for each. For a missing field, the path of the object that lacks it."""
    for where, what in reversed(faults(reason)):
        if not where.startswith("topic"):
            yield find(value, where), f"{where}: {what}"


def _with_arrow(line: Line, arrows: dict[Path, str]) -> tuple[str, bool]:
    note = None if line.path is None else arrows.get(line.path)
    text = printable(line.text)
    return (f"{text}   ◀ here: {printable(note)}", True) if note else (text, False)


def _bounded(shown: Sequence[tuple[str, bool]], full: bool) -> Iterator[str]:
    arrows = [index for index, (_, has_arrow) in enumerate(shown) if has_arrow]
    kept = {*range(HEAD), *(near for arrow in arrows for near in range(arrow - BEFORE, arrow + AFTER + 1))}
    if len(shown) <= HEAD + BEFORE + AFTER or full:
        kept = set(range(len(shown)))
    yield from _elided((text for text, _ in shown), kept)


def _elided(shown: Iterable[str], kept: set[int]) -> Iterator[str]:
    hidden = 0
    for index, text in enumerate(shown):
        if index not in kept:
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
    for number_, row in enumerate(rows, start=1):
        if number_ - 1 in kept or full or len(rows) <= HEAD + BEFORE + AFTER:
            yield from _pointed(row, column, full) if number_ == line else [_short(printable(row), full)]
        elif number_ - 2 in kept:
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


class Fault(NamedTuple):
    """A path into the payload, as `points.1.v`, and what is wrong there."""

    where: str
    what: str


def faults(reason: str) -> list[Fault]:
    """All that a reason names, in its order; none if it names no path."""
    _, _, text = without_route(reason).partition(": ")
    parts = (part.partition(": ") for part in text.split("; "))
    return [Fault(where, what) for where, colon, what in parts if colon and " " not in where]


def without_route(reason: str) -> str:
    """A reason without the mapping's and the route's name."""
    return _ROUTE.sub(r"\1", reason)


def position(reason: str) -> tuple[int, int] | None:
    """The line and the column, in bytes and counted from 1, at which the text stops being JSON."""
    found = _POSITION.search(reason)
    return (int(found[1]), int(found[2])) if found else None


def wrong_byte(reason: str) -> int | None:
    """The first byte of the payload that isn't UTF-8, counted from 0."""
    found = _BYTE.search(reason)
    return int(found[1]) if found else None


class Line(NamedTuple):
    """A line and the path of what begins on it; None where something ends."""

    text: str
    path: Path | None


class _Literal(str):
    """A number, as it was written."""

    __slots__ = ()


class _Object(tuple[tuple[str, Any], ...]):
    """Keys and values in turn, repeated ones too."""

    __slots__ = ()


def parse(text: str) -> Any:
    """The value of a JSON text, for `lines` and `find`; raises ValueError, or RecursionError for one too deep."""
    return json.loads(
        text, object_pairs_hook=_Object, parse_float=_Literal, parse_int=_Literal, parse_constant=_Literal
    )


def lines(value: Any, path: Path = (), indent: str = "", before: str = "", after: str = "") -> Iterator[Line]:
    """A value as lines; raises RecursionError if it is too deep."""
    if not isinstance(value, _Object | list) or not value:
        yield Line(f"{indent}{before}{_scalar(value)}{after}", path)
        return
    opening, closing = "{}" if isinstance(value, _Object) else "[]"
    yield Line(f"{indent}{before}{opening}", path)
    last = len(value) - 1
    for index, (name, item) in enumerate(_items(value)):
        key = f"{json.dumps(name, ensure_ascii=False)}: " if isinstance(value, _Object) else ""
        yield from lines(item, (*path, name), indent + "  ", key, "," if index < last else "")
    yield Line(f"{indent}{closing}{after}", None)


def find(value: Any, where: str) -> Path:
    """The path that `where` names, joined by dots, or as much of it as exists."""
    text = _INDEX.sub(lambda found: f".{found[1] or found[2] or found[3]}", where).removeprefix("$").strip(".")
    return _find(value, text.split("."))


def _find(value: Any, names: Sequence[str]) -> Path:
    if not isinstance(value, _Object | list):
        return ()
    known = dict(_items(value))
    for end in range(len(names), 0, -1):  # a key may have dots in it
        if (name := ".".join(names[:end])) in known:
            return (name, *_find(known[name], names[end:]))
    return ()


def _items(value: Any) -> list[tuple[str, Any]]:
    return list(value) if isinstance(value, _Object) else [(str(index), item) for index, item in enumerate(value)]


def _scalar(value: Any) -> str:
    if isinstance(value, _Object):
        return "{}"
    return str(value) if isinstance(value, _Literal) else json.dumps(value, ensure_ascii=False)
