"""A payload as lines: its JSON with a value on each, and where the reason says that it is wrong.

Numbers are shown as they were written, and keys as often as they came. A reason is `class: where: what`, or
`class: where: what; where: what` with several."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from traksense_ingest.writer.decode.payload import packing_of, unwrap
from traksense_ingest.writer.outcome import Poison

HEAD, BEFORE, AFTER = 10, 8, 4  # lines that are shown: the first ones, and those around a wrong place
UNPACKED_MAX = 1024 * 1024  # bytes
EXCERPT = 30  # characters of a long line that are shown on either side of a wrong place, on a terminal

_POSITION = re.compile(r" at line (\d+) column (\d+)")
_BYTE = re.compile(r"^parse_error: payload: not UTF-8 at byte (\d+)")

_ROUTE = re.compile(r"^([a-z_]+: )[a-z0-9_-]+/[a-z0-9_-]+: ")  # of a mapping, before the path
_INDEX = re.compile(r"\[(-?\d+|\*)\]|\[\"([^\"]*)\"\]|\['([^']*)'\]")  # as a mapping writes one: records[3]

Path = tuple[str, ...]


class Row(NamedTuple):
    """A line of a payload to be shown, and what is wrong on it."""

    text: str  # as it was sent: it may have anything in it
    number: int | None = None  # of the line, from 1
    note: str | None = None  # what is wrong with the value that begins on it
    column: int | None = None  # the character of `text` from which on it is not JSON
    hidden: int = 0  # lines that are left out here, instead of a text


def rows(payload: bytes, reason: str, *, full: bool, width: int = EXCERPT) -> list[Row]:
    """The payload, unpacked, as JSON if it is JSON, else as it is; shortened unless `full`.

    `width` is how many characters of a long line that is not JSON are shown on either side of the wrong place.
    """
    text = content_of(payload).decode(errors="replace")
    try:
        value = parse(text)
        notes = dict(_notes(value, reason))
        found = [
            Row(line.text, number, None if line.path is None else notes.get(line.path))
            for number, line in enumerate(lines(value), 1)
        ]
    except (ValueError, RecursionError):
        found = [*_text(text, position(reason), reason, None if full else width)]
    return found if full else _bounded(found)


def content_of(payload: bytes) -> bytes:
    """The JSON that a writer would unpack; the payload itself if it is damaged or too large."""
    return unpacked(payload)[0]


def unpacked(payload: bytes) -> tuple[bytes, str]:
    """The same, and `gzip`, `zlib` or `zstd`; an empty text if it is not packed, or can't be unpacked."""
    packing = packing_of(payload)
    try:
        return unwrap(payload, packing, UNPACKED_MAX), packing
    except Poison:
        return payload, ""


def kind_of_payload(payload: bytes, *, is_text: bool) -> str:
    """What to say behind its length: `, gzip`, or that it isn't text."""
    if packing := packing_of(payload):
        return f", {packing}"
    return "" if is_text else ", not all of it text"


def _notes(value: object, reason: str) -> Iterator[tuple[Path, str]]:
    """The paths to point at, and the note for each. For a missing field, the path of the object that lacks it."""
    for where, what in reversed(faults(reason)):
        if not where.startswith("topic"):
            yield find(value, where), f"{where}: {what}"


def _text(text: str, at: tuple[int, int] | None, reason: str, width: int | None) -> Iterator[Row]:
    line, column = at or (0, 0)
    count = 0
    for count, row in enumerate(text.split("\n"), 1):
        yield _pointed(row, count, column, width) if count == line else Row(_short(row, width), count)
    if line > count:
        yield Row("", note=f"the end ({reason})")


def _pointed(row: str, number: int, column: int, width: int | None) -> Row:
    """The line around a column that counts bytes."""
    before = row.encode()[: max(column - 1, 0)].decode(errors="ignore")
    start = 0 if width is None else max(0, len(before) - width)
    end = len(row) if width is None else len(before) + width
    left = ("…" if start else "") + before[start:]
    return Row(left + row[len(before) : end] + ("…" if end < len(row) else ""), number, column=len(left))


def _short(row: str, width: int | None) -> str:
    return row if width is None or len(row) <= 5 * width else row[: 5 * width] + "…"


def _bounded(found: Sequence[Row]) -> list[Row]:
    """The first lines and those around each wrong place; the others only as how many they are."""
    if len(found) <= HEAD + BEFORE + AFTER:
        return [*found]
    wrong = [index for index, row in enumerate(found) if row.note or row.column is not None]
    kept = {*range(HEAD), *(near for index in wrong for near in range(index - BEFORE, index + AFTER + 1))}
    shown: list[Row] = []
    for index, row in enumerate(found):
        if index in kept:
            shown.append(row)
        elif shown[-1].hidden:
            shown[-1] = Row("", hidden=shown[-1].hidden + 1)
        else:
            shown.append(Row("", hidden=1))
    return shown


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
    found = _BYTE.search(without_route(reason))
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
