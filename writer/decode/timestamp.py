"""RFC 3339 timestamps: date, time, seconds and offset, all of them required."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from pydantic_core import PydanticCustomError

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)

# Stricter than datetime.fromisoformat, which parses what matches.
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII)
_SECONDS = slice(17, 19)
_SEPARATORS = slice(4, 17, 3)
_PLAIN = {20: "Z", 24: ".", 27: "."}  # what follows seconds in UTC, by length: fromisoformat is as strict with these


def parse_timestamp(value: object) -> datetime:
    """To the µs (finer digits are cut off); raises PydanticCustomError."""
    if (
        type(value) is str
        and value[_SEPARATORS] == "--T::"
        and _PLAIN.get(len(value)) == value[19:20]
        and value[-1] == "Z"
    ):
        try:
            return datetime.fromisoformat(value)
        except ValueError:  # what is wrong is found below
            pass
    if not isinstance(value, str) or _RFC3339.fullmatch(value) is None:
        raise _wrong("Input should be an RFC 3339 timestamp with Z or an offset, as 2025-10-07T15:30:00Z")
    try:
        if value[_SECONDS] == "60":
            return _after_leap_second(parse_timestamp(value.replace(":60", ":59", 1)))
        return datetime.fromisoformat(value.upper())
    except (ValueError, OverflowError) as error:  # a leap second may lie beyond the calendar
        raise _wrong(f"Input should be a date and time that exist: {error}") from None


def _after_leap_second(second_59: datetime) -> datetime:
    """23:59:60 UTC as PostgreSQL has it: the first second of the next day."""
    after = second_59 + timedelta(seconds=1)
    if after.astimezone(UTC).strftime("%T") != "00:00:00":
        raise ValueError("second must be in 0..59")
    return after


@lru_cache(maxsize=1)
def _seconds(count: int) -> timedelta:
    return timedelta(seconds=count)


def _wrong(what: str) -> PydanticCustomError:
    return PydanticCustomError("timestamp", "{what}", {"what": what})


def out_of_range(ts: datetime, now: datetime, max_future_s: int) -> str | None:
    """Why a timestamp can't be right: too old, or too far in the future; None when it is fine."""
    if ts < EARLIEST:
        return f"{ts.isoformat()} is before 2000-01-01"
    if ts - now > _seconds(max_future_s):
        return f"{ts.isoformat()} is more than {max_future_s} s ahead of now"
    return None
