"""A route's time rule, compiled: what time a record, or an item of it, has."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from traksense_ingest.shared.mapping.points import Missing, TimeRule
from traksense_ingest.writer.decode.decode import Clock
from traksense_ingest.writer.decode.mapped.clock_times import NoTime, Parse, compile_format
from traksense_ingest.writer.decode.mapped.conditions import ScalarTable
from traksense_ingest.writer.decode.mapped.paths import compile_path
from traksense_ingest.writer.decode.mapped.scope import MISSING, Get, Scope, Wrong
from traksense_ingest.writer.decode.mapped.templates import NoText, path_in_words, text_of
from traksense_ingest.writer.decode.mapped.wording import shown
from traksense_ingest.writer.decode.timestamp import EARLIEST, out_of_range
from traksense_ingest.writer.entry import EPOCH
from traksense_ingest.writer.outcome import Poison

Moment = Callable[[Any, Scope], datetime | None]  # raises Wrong, Poison("out_of_range")
Find = Callable[[Any, Scope], Any]  # MISSING or None where there is no time; raises Wrong


class RangeCheck:
    """v1's: not before 2000, and not far in the future by this host's clock and the entry's id."""

    def __init__(self, clock: Clock, max_future_s: int) -> None:
        self._clock = clock
        self._max_future_s = max_future_s
        self._max_future = timedelta(seconds=max_future_s)

    def __call__(self, ts: datetime, scope: Scope, where: str) -> None:
        """Raises Poison("out_of_range")."""
        now = self._clock()
        if ts >= EARLIEST and ts - now <= self._max_future:
            return
        now = max(now, scope.entry.appended_at)  # ids never go back, as this host's clock may
        if wrong := out_of_range(ts, now, self._max_future_s):
            raise Poison("out_of_range", where, wrong, ahead=ts if ts > now else None)


def compile_time(rule: TimeRule, *, check: RangeCheck, label: str, missing: Missing | None = None) -> Moment:
    """The time by a rule. None only by Missing.NONE."""
    without_time = _without_time(rule, missing or rule.missing)
    too_early = _without_time(rule, rule.before_is, rule.before)
    find, parse = _find(rule), _parse(rule)
    where = f"{label}: {words_of(rule)}"
    before = rule.before

    def moment(item: Any, scope: Scope) -> datetime | None:
        found = find(item, scope)
        if found is scope.last_time and scope.last_moment is moment:
            return scope.last_ts  # items of a message often share one
        ts = parsed(found, scope)
        scope.last_time, scope.last_moment, scope.last_ts = found, moment, ts
        return ts

    def parsed(found: Any, scope: Scope) -> datetime | None:
        if found is MISSING or found is None:
            ts = without_time(scope)
        else:
            ts = parse(found, scope.entry.received_at)
            if before is None or ts >= before:
                newest = scope.device_ts
                if newest is None or not EARLIEST <= ts <= newest:
                    check(ts, scope, where)
                    scope.device_ts = ts if newest is None else max(ts, newest)
                return ts
            ts = too_early(scope)
        if ts is not None:
            check(ts, scope, where)
        return ts

    return moment


def words_of(rule: TimeRule) -> str:
    """Where the time of a rule is, for a reason."""
    return path_in_words(rule.paths[0]) if len(rule.paths) == 1 else "time"


def _find(rule: TimeRule) -> Find:
    """The value that says which time it is: the first one that is there, or all of them joined by a space."""
    getters = tuple(map(compile_path, rule.paths))
    absent = ScalarTable((value, True) for value in (*rule.absent, None))
    if rule.joined:
        return _joined(getters, absent, tuple(map(path_in_words, rule.paths)))
    if len(getters) == 1 and not rule.absent:
        return getters[0]

    def find(item: Any, scope: Scope) -> Any:
        for get in getters:
            value = get(item, scope)
            if value is not MISSING and not absent.get(value, False):
                return value
        return MISSING

    return find


def _joined(getters: tuple[Get, ...], absent: ScalarTable[bool], names: tuple[str, ...]) -> Find:
    def find(item: Any, scope: Scope) -> Any:
        texts = []
        for get, name in zip(getters, names, strict=True):
            value = get(item, scope)
            if value is MISSING or absent.get(value, False):
                return MISSING
            text = text_of(value, NoText(name))
            if isinstance(text, NoText):
                raise Wrong(f"{name} should be a string or a number, is {shown(value)}")
            texts.append(text)
        return " ".join(texts)

    return find


def _without_time(
    rule: TimeRule, missing: Missing, before: datetime | None = None
) -> Callable[[Scope], datetime | None]:
    """What is done where there is no time, or one that is too early."""
    match missing:
        case Missing.NONE:
            return lambda _scope: None
        case Missing.RECEIVED:
            return _received(rule.round_us)
    paths = " or ".join(map(path_in_words, rule.paths))
    why = f"{paths} is missing, and is the time" if paths else "there is no time"
    if before is not None:
        why = f"no time before {before:%Y-%m-%d} is taken"

    def refuse(_scope: Scope) -> datetime | None:
        raise Wrong(why)

    return refuse


def _received(round_us: int) -> Callable[[Scope], datetime | None]:
    """Down to a multiple, so that the same message, received again, is the same rows."""
    if not round_us:
        return lambda scope: scope.entry.received_at
    step = timedelta(microseconds=round_us)
    return lambda scope: scope.entry.received_at - (scope.entry.received_at - EPOCH) % step


def _parse(rule: TimeRule) -> Parse:
    """The first of the formats that fits."""
    parsers = tuple(compile_format(form, rule.tz) for form in rule.formats)
    if len(parsers) == 1:
        return parsers[0]

    def parse(value: Any, received_at: datetime) -> datetime:
        whys = []
        for parser in parsers:
            try:
                return parser(value, received_at)
            except NoTime as wrong:
                whys.append(wrong.what)
        raise NoTime("; ".join(dict.fromkeys(whys)))

    return parse
