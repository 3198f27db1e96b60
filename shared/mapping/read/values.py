"""Conditions, tables and times, parsed: what more than one key of the language takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import TypeVar
from zoneinfo import ZoneInfo, available_timezones

from traksense_ingest.shared.mapping.faults import did_you_mean, quoted
from traksense_ingest.shared.mapping.points import (
    Condition,
    Equal,
    Exists,
    Missing,
    Not,
    OfType,
    Strptime,
    TimeFormat,
    TimeRule,
)
from traksense_ingest.shared.mapping.read.cursor import Cursor, Keys
from traksense_ingest.shared.mapping.read.nodes import Leaf
from traksense_ingest.shared.mapping.read.paths import NOWHERE, parsed, path_of, path_to_one
from traksense_ingest.shared.mapping.text import Path, Scalar

T = TypeVar("T")

TYPES = ("number", "text", "bool", "null", "object", "array")
TIME_KEYS = ("path", "paths", "paths_joined", "format", "tz", "absent", "missing", "received", "before")
_YEARS = ("%Y", "%y", "%c", "%x", "%D", "%F")
_FORMATS = [form.value for form in TimeFormat if form is not TimeFormat.DEFAULT]


def conditions(at: Cursor) -> tuple[Condition, ...]:
    """`{PATH: what must be there}`; all of them hold."""
    return tuple(Condition(_key_path(key), _test(value)) for key, value in at.table("conditions such as {type: up}"))


def _key_path(key: Cursor) -> Path:
    found = parsed(key, "a path", path_of, NOWHERE)
    if found.is_many:
        key.fault(f"{quoted(found.text)} leads to several values; expected one")
    return found


def _test(at: Cursor) -> Equal | Exists | OfType | Not:
    if at.is_object:
        return _described_test(at)
    if at.is_text and (text := at.text()) in ("exists", "absent"):
        return Exists(text == "exists")
    return Equal(scalars(at))


def _described_test(at: Cursor) -> Equal | Exists | OfType | Not:
    keys = at.keys("not", "is", "type")
    match keys.only_one("not", "is", "type"):
        case "not":
            return _opposite(_test(keys.found["not"]))
        case "type":
            return OfType(tuple(item.one_of(TYPES) for item in keys.found["type"].one_or_more()))
        case "is":
            return Equal(scalars(keys.found["is"]))
        case _:
            return Exists(True)


def _opposite(test: Equal | Exists | OfType | Not) -> Equal | Exists | OfType | Not:
    match test:
        case Not(inner):
            return inner
        case Exists(expected):
            return Exists(not expected)
        case _:
            return Not(test)


def scalars(at: Cursor) -> tuple[Scalar, ...]:
    """A scalar or a list of them."""
    return tuple(item.scalar() for item in at.one_or_more())


def scalar_table(at: Cursor, read: Callable[[Cursor], T]) -> tuple[tuple[Scalar, T], ...]:
    """Scalars by scalars, their types as they are written."""
    return tuple((key.scalar(), read(value)) for key, value in at.table())


def text_table(at: Cursor) -> tuple[tuple[str, str], ...]:
    """Strings by strings."""
    return tuple((key.text(), value.text()) for key, value in at.table())


def time_rule(at: Cursor, missing: Missing = Missing.REJECT) -> TimeRule:
    """`received`, a path, or an object with more to say."""
    if at.is_text:
        if at.text() == "received":
            return TimeRule(missing=Missing.RECEIVED)
        return TimeRule((path_to_one(at),), missing=missing)
    keys = at.keys(*TIME_KEYS, what="`received`, a path or an object")
    paths, is_joined = _time_paths(keys)
    before, before_is = keys.read("before", _before, (None, Missing.REJECT))
    return TimeRule(
        paths=paths,
        joined=is_joined,
        formats=keys.read("format", _formats, (TimeFormat.DEFAULT,)),
        tz=keys.read("tz", _zone, None),
        absent=keys.read("absent", scalars, ()),
        missing=keys.read("missing", _missing, missing),
        round_us=keys.read("received", _round, 0),
        before=before,
        before_is=before_is,
    )


def _time_paths(keys: Keys) -> tuple[tuple[Path, ...], bool]:
    names = ("path", "paths", "paths_joined")
    if not any(name in keys for name in names):
        if "missing" not in keys and "received" not in keys:
            keys.at.fault("path or missing is needed; `time: received` is the time of receipt")
        return (), False
    name = keys.only_one(*names) or "path"
    at = keys.found[name]
    if name == "path":
        return (path_to_one(at),), False
    return tuple(path_to_one(item) for item in at.items("a list of paths")), name == "paths_joined"


def _formats(at: Cursor) -> tuple[TimeFormat | Strptime, ...]:
    return tuple(_format(item) for item in at.one_or_more()) or (TimeFormat.DEFAULT,)


def _format(at: Cursor) -> TimeFormat | Strptime:
    if at.is_object:
        inside = at.keys("strptime").required("strptime", 'a format such as "%d.%m.%Y %H:%M"')
        return _strptime(inside) if inside else TimeFormat.DEFAULT
    if isinstance(at.node, Leaf) and "%" in at.written:
        text = quoted(at.written)
        at.fault(f"{text} is not allowed; a format of strptime is written {{strptime: {text}}}")
        return TimeFormat.DEFAULT
    return TimeFormat(at.one_of([*_FORMATS]))


def _strptime(at: Cursor) -> TimeFormat | Strptime:
    text = at.text('a format of strptime, such as "%d.%m.%Y %H:%M"')
    if not any(year in text for year in _YEARS):
        at.fault(f"{quoted(text)} has no year: %Y or %y")
        return TimeFormat.DEFAULT
    try:
        time.strptime("", text)
    except ValueError as error:
        if "does not match" not in str(error):
            at.fault(f"{quoted(text)} is not a valid format of strptime: {error}")
    except Exception:  # of the regular expression that it makes: re.error
        at.fault(f"{quoted(text)} is not a valid format of strptime: duplicate directive")
    return Strptime(text)


def _zone(at: Cursor) -> str | None:
    text = at.text("a time zone such as America/Sao_Paulo")
    if not text or _is_zone(text):
        return text or None
    hint = did_you_mean(text, sorted(available_timezones()))
    at.fault(f"unknown time zone {quoted(text)}; expected a name such as America/Sao_Paulo{hint}")
    return None


@cache
def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError
        return False
    except KeyError:
        return False
    return True


def _missing(at: Cursor) -> Missing:
    return Missing(at.one_of([Missing.REJECT, Missing.RECEIVED]))


def _round(at: Cursor) -> int:
    inside = at.keys("round").required("round", "a duration such as 1s")
    return inside.microseconds() if inside else 0


def _before(at: Cursor) -> tuple[datetime | None, Missing]:
    if not at.is_object:
        return at.time(), Missing.RECEIVED
    keys = at.keys("date", "then")
    date = keys.required("date", "a date such as 2000-01-01")
    then = keys.read("then", _missing, Missing.RECEIVED)
    return (date.time() if date else datetime(2000, 1, 1, tzinfo=UTC)), then
