"""Which field says when it was, and how it is written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from traksense_ingest.ops.mapping.draft.samples import Keys, all_fields, values_at

_NAMES = re.compile(r"(?i)^(ts|t|at|dt|time|timestamp|date|datetime|epoch|utc)$|time|stamp|date|(_|^)(ts|at)$|At$|Ts$")
_UNITS = {"unix": 1, "unix_ms": 1_000, "unix_us": 1_000_000, "unix_ns": 1_000_000_000}
_NEAR = timedelta(days=2)  # of its receipt: a number that is so near is a time, whatever its name
_FIRST = datetime(2000, 1, 1, tzinfo=UTC)
_AHEAD = timedelta(hours=12)  # that a device's clock may be ahead, or its time zone
_LOCAL_FORMATS = ("%d.%m.%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d/%m/%Y %H:%M")


@dataclass(frozen=True, slots=True)
class Time:
    """A field with times."""

    keys: Keys
    format: str  # of the language; a text with % is strptime's
    is_local: bool = False  # without an offset
    is_always: bool = True  # there in every message
    has_zero: bool = False  # 0 where the clock isn't set

    @property
    def path(self) -> str:
        """As a path."""
        return ".".join(self.keys)


def time_of(documents: Sequence[Any], received: Sequence[datetime]) -> Time | None:
    """The field that is most surely a time; None where nothing looks like one."""
    found = [time for keys in all_fields(documents) if (time := _time(keys, documents, received))]
    return min(found, key=_rank, default=None)


def _rank(time: Time) -> tuple[bool, bool, bool, int]:
    return (not time.is_always, time.is_local, not _NAMES.search(time.keys[-1]), len(time.keys))


def _time(keys: Keys, documents: Sequence[Any], received: Sequence[datetime]) -> Time | None:
    pairs = [
        (value, moment)
        for value, moment in zip(values_at(documents, keys), received, strict=True)
        if value is not None and not _is_zero(value)
    ]
    has_zero = any(map(_is_zero, values_at(documents, keys)))
    formats = [set(_formats(value, moment, keys[-1])) for value, moment in pairs]
    if not formats or not (common := sorted(set.intersection(*formats))):
        return None
    format_, is_local = common[0]
    return Time(keys, format_, is_local, len(pairs) == len(documents), has_zero)


def _is_zero(value: Any) -> bool:
    return value == 0 and not isinstance(value, bool)


def _formats(value: Any, received: datetime, name: str) -> Iterator[tuple[str, bool]]:
    """The formats in which a value is a plausible moment, and whether it lacks an offset."""
    if isinstance(value, str):
        yield from _text_formats(value, received)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        for format_, per_second in _UNITS.items():
            moment = _unix(value, per_second)
            if moment and _plausible(moment, received) and (_NAMES.search(name) or abs(moment - received) < _NEAR):
                yield format_, False


def _text_formats(value: str, received: datetime) -> Iterator[tuple[str, bool]]:
    if len(value) >= len("2026-01-31T12:00") and value[4:5] == "-":
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return
        if _plausible(moment.replace(tzinfo=moment.tzinfo or UTC), received):
            yield "rfc3339", moment.tzinfo is None
        return
    for format_ in _LOCAL_FORMATS:
        try:
            moment = datetime.strptime(value, format_).replace(tzinfo=UTC)
        except ValueError:
            continue
        if _plausible(moment, received):
            yield format_, True


def _unix(value: float, per_second: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(value / per_second, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _plausible(moment: datetime, received: datetime) -> bool:
    return _FIRST <= moment <= received + _AHEAD
