"""Whether what a string refers to is captured."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass

from traksense_ingest.shared.mapping.faults import did_you_mean
from traksense_ingest.shared.mapping.points import AnyPoint, EachPoint, LeavesPoint, ZipPoint
from traksense_ingest.shared.mapping.read.cursor import Cursor
from traksense_ingest.shared.mapping.text import KEY, LEAF, Path, Root, TopicPattern


def of_topics(patterns: Sequence[TopicPattern]) -> frozenset[str]:
    """The names that each of the topics captures."""
    found = [frozenset(pattern.captures) for pattern in patterns]
    return frozenset.intersection(*found) if found else frozenset()


def of_path(path: Path | None) -> frozenset[str]:
    """The names that a path captures."""
    if path is None or not path.is_many:
        return frozenset()
    return frozenset((*path.captures, KEY))


def of_point(point: AnyPoint) -> frozenset[str]:
    """The names that an entry itself captures."""
    match point:
        case EachPoint(each=each):
            return of_path(each)
        case ZipPoint():
            return frozenset([KEY])
        case LeavesPoint(leaves=leaves):
            return of_path(leaves) | {LEAF}
        case _:
            return frozenset()


def check_new(at: Cursor | None, names: Iterable[str], taken: Collection[str]) -> None:
    """Note an error for each name that something around it captures already. Otherwise a payload could set what the
    topic says: the tenant, for one."""
    for name in names:
        if at is not None and name in taken and name not in (KEY, LEAF):
            at.fault(f"{{{name}}} is already captured by the topic or by `records`; use another name")


def check(at: Cursor | None, value: object, known: frozenset[str], some: Iterable[str] = ()) -> None:
    """Note an error for each capture that a value refers to and that isn't known; `some` are of some topics only."""
    if at is None:
        return
    for name in dict.fromkeys(_references(value)):
        if name in known:
            continue
        if name in some:
            at.fault(f"{{{name}}} is not captured by each of the route's topics")
        elif known:
            at.fault(f"unknown capture {{{name}}}; captures here: {', '.join(sorted(known))}{_hint(name, known)}")
        else:
            at.fault(f"unknown capture {{{name}}}; a path begins with a dot: {{.{name}}}")


def _hint(name: str, known: frozenset[str]) -> str:
    return did_you_mean(name, known) or f"; a path begins with a dot: {{.{name}}}"


def _references(value: object) -> Iterator[str]:
    if isinstance(value, Path):
        if value.root is Root.CAPTURE:
            yield value.text[1:]
    elif isinstance(value, tuple):
        for item in value:
            yield from _references(item)
    else:
        for name in _fields(type(value)):
            yield from _references(getattr(value, name))


def _fields(kind: type) -> tuple[str, ...]:
    if kind not in _FIELDS:
        _FIELDS[kind] = tuple(field.name for field in fields(kind)) if is_dataclass(kind) else ()
    return _FIELDS[kind]


_FIELDS: dict[type, tuple[str, ...]] = {}
