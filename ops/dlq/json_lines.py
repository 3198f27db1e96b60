"""JSON, a value a line, each line with its path: numbers as they were written, keys as often as they came."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

Path = tuple[str, ...]


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
    """A value as lines; raises RecursionError where it is too deep."""
    if not isinstance(value, _Object | list) or not value:
        yield Line(f"{indent}{before}{_scalar(value)}{after}", path)
        return
    opening, closing = "{}" if isinstance(value, _Object) else "[]"
    yield Line(f"{indent}{before}{opening}", path)
    last = len(value) - 1
    for place, (name, item) in enumerate(_items(value)):
        key = f"{json.dumps(name, ensure_ascii=False)}: " if isinstance(value, _Object) else ""
        yield from lines(item, (*path, name), indent + "  ", key, "," if place < last else "")
    yield Line(f"{indent}{closing}{after}", None)


def find(value: Any, where: str) -> Path:
    """The path that `where` names, names joined by dots, or as much of it as is there."""
    return _find(value, where.split("."))


def _find(value: Any, names: Sequence[str]) -> Path:
    if not isinstance(value, _Object | list):
        return ()
    known = dict(_items(value))
    for end in range(len(names), 0, -1):  # a key may have dots in it
        if (name := ".".join(names[:end])) in known:
            return (name, *_find(known[name], names[end:]))
    return ()


def _items(value: Any) -> list[tuple[str, Any]]:
    return list(value) if isinstance(value, _Object) else [(str(place), item) for place, item in enumerate(value)]


def _scalar(value: Any) -> str:
    if isinstance(value, _Object):
        return "{}"
    return str(value) if isinstance(value, _Literal) else json.dumps(value, ensure_ascii=False)
