"""How devices write a time: RFC 3339, a count since the epoch, a format of strptime; and local times."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from pydantic_core import PydanticCustomError

from traksense_ingest.shared.mapping.points import Strptime, TimeFormat
from traksense_ingest.writer.decode.mapped.scope import Wrong
from traksense_ingest.writer.decode.mapped.wording import shown
from traksense_ingest.writer.decode.timestamp import parse_timestamp
from traksense_ingest.writer.entry import EPOCH, LAST_US

Parse = Callable[[Any, datetime], datetime]  # a value, and when its message was received; raises NoTime

SECONDS_BELOW, MILLIS_BELOW, MICROS_BELOW = 10**11, 10**14, 10**17  # year 5138, in each unit

_PER_SECOND = {TimeFormat.UNIX: 1, TimeFormat.UNIX_MS: 10**3, TimeFormat.UNIX_US: 10**6, TimeFormat.UNIX_NS: 10**9}
_LOCAL = re.compile(r"\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?)?", re.ASCII)
_COUNT = re.compile(r"[+-]?[0-9]{1,30}(?:\.[0-9]{0,30})?", re.ASCII)


class NoTime(Wrong):
    """A value that is not a time in the format of a route."""


class BeyondCalendar(NoTime):
    """A count beyond the years 1 to 9999."""

    reason = "out_of_range"

    def __init__(self, value: Any) -> None:
        super().__init__(f"{shown(value)} is beyond the calendar")


def compile_format(form: TimeFormat | Strptime, tz: str | None) -> Parse:
    """From a value to a time with an offset."""
    zone = _zone(tz) if tz else None
    if isinstance(form, Strptime):
        return _strptime(form.format, zone)
    if form is TimeFormat.RFC3339:
        return _rfc3339(zone)
    if form in _PER_SECOND:
        return _count(_PER_SECOND[form])
    return _default(_rfc3339(zone), _by_size if form is TimeFormat.AUTO else _count(1), form is TimeFormat.AUTO)


def _default(text: Parse, number: Parse, is_auto: bool) -> Parse:
    """A number is a count; so is a string of digits where the format is found by what the value looks like."""

    def parse(value: Any, received_at: datetime) -> datetime:
        if type(value) is not str or (is_auto and _COUNT.fullmatch(value)):
            return number(value, received_at)
        try:
            return parse_timestamp(value)
        except PydanticCustomError:
            return text(value, received_at)

    return parse


def _rfc3339(zone: tzinfo | None) -> Parse:
    def parse(value: Any, received_at: datetime) -> datetime:
        try:
            return parse_timestamp(value)
        except PydanticCustomError as error:
            if zone is None or type(value) is not str or _LOCAL.fullmatch(value) is None:
                raise NoTime(f"{error.message()}, is {shown(value)}") from None
        return _in_zone(_naive(value), zone, received_at)

    return parse


def _naive(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text.upper().replace(",", "."))
    except ValueError as error:
        raise NoTime(f"Input should be a date and time that exist: {error}") from None


def _in_zone(local: datetime, zone: tzinfo, received_at: datetime) -> datetime:
    """The time that is nearest to the time of receipt: the hour before clocks are put back is repeated, and the one
    after they are put forward is left out; a clock that shows it is an hour wrong, one way or the other."""
    first = local.replace(tzinfo=zone)
    second = first.replace(fold=1)
    try:
        if first.utcoffset() == second.utcoffset():
            return first.astimezone(UTC)
        return min(first.astimezone(UTC), second.astimezone(UTC), key=lambda ts: abs(ts - received_at))
    except (OverflowError, ValueError):
        raise NoTime("Input should be a date and time that exist: beyond the calendar") from None


def _strptime(form: str, zone: tzinfo | None) -> Parse:
    def parse(value: Any, received_at: datetime) -> datetime:
        text = value if type(value) is str else str(value) if type(value) is int else None
        if text is None:
            raise NoTime(f"Input should be a time of the form {form}, is {shown(value)}")
        try:
            found = datetime.strptime(text.strip(), form)
            if found.tzinfo is not None:
                return found.astimezone(UTC)
        except (ValueError, OverflowError):
            raise NoTime(f"Input should be a time of the form {form}, is {shown(value)}") from None
        if zone is None:
            raise NoTime(f"{shown(value)} has no offset, and the route has no tz")
        return _in_zone(found, zone, received_at)

    return parse


def _count(per_second: int) -> Parse:
    """So many units since the epoch, as a number or as a string of one; to the µs, finer digits are cut off."""
    us_of_integer = _to_us_by_division(per_second // 10**6) if per_second > 10**6 else _to_us(10**6 // per_second)
    us_of_float = 10**6 / per_second

    def parse(value: Any, _received_at: datetime) -> datetime:
        kind = type(value)
        if kind is int:
            return _since_epoch(us_of_integer(value), value)
        if kind is float:
            us = value * us_of_float
            if not -LAST_US <= us <= LAST_US:
                raise BeyondCalendar(value)
            return _since_epoch(round(us), value)
        if kind is str and _COUNT.fullmatch(value.strip()):
            return _since_epoch(_us_of_text(value.strip(), per_second), value)
        raise NoTime(f"Input should be a number since 1970, is {shown(value)}")

    return parse


def _to_us(factor: int) -> Callable[[int], int]:
    return lambda value: value * factor


def _to_us_by_division(divisor: int) -> Callable[[int], int]:
    return lambda value: value // divisor


def _us_of_text(text: str, per_second: int) -> int:
    try:
        return int(Decimal(text) * 10**6 // per_second)
    except InvalidOperation:
        raise NoTime("Input should be a number since 1970 with fewer digits") from None


def _since_epoch(us: int, value: Any) -> datetime:
    if not -LAST_US <= us <= LAST_US:
        raise BeyondCalendar(value)
    try:
        return EPOCH + timedelta(0, 0, us)
    except OverflowError:
        raise BeyondCalendar(value) from None


def _by_size(value: Any, received_at: datetime) -> datetime:
    """In seconds, milliseconds, microseconds or nanoseconds: whichever makes a time of this age."""
    size = abs(_as_number(value))
    for form, below in ((TimeFormat.UNIX, SECONDS_BELOW), (TimeFormat.UNIX_MS, MILLIS_BELOW)):
        if size < below:
            return _counts(form)(value, received_at)
    return _counts(TimeFormat.UNIX_US if size < MICROS_BELOW else TimeFormat.UNIX_NS)(value, received_at)


def _as_number(value: Any) -> Any:
    if type(value) in (int, float):
        return value
    if type(value) is str and _COUNT.fullmatch(value.strip()):
        return Decimal(value.strip())
    raise NoTime(f"Input should be a time or a number since 1970, is {shown(value)}")


@cache
def _counts(form: TimeFormat) -> Parse:
    return _count(_PER_SECOND[form])


@cache
def _zone(name: str) -> tzinfo:
    return ZoneInfo(name)
