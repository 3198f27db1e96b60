"""What a point does to a value, compiled: from what the payload has to one of the columns v_num, v_bool and v_text."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import inf
from typing import Any

from traksense_ingest.shared.mapping.points import Else, Value
from traksense_ingest.writer.decode.mapped.arithmetic import compile_arithmetic
from traksense_ingest.writer.decode.mapped.conditions import SCALARS, ScalarTable
from traksense_ingest.writer.decode.mapped.scope import MISSING, Wrong
from traksense_ingest.writer.decode.mapped.templates import TEXTS
from traksense_ingest.writer.decode.mapped.wording import listed, shown

Columns = tuple[float | None, bool | None, str | None]  # v_num, v_bool, v_text
Convert = Callable[[Any], Columns | None]  # None: no row; raises Wrong
Change = Callable[[Any], Any]  # SKIPPED: no row

NUMBER_MAX = 400  # characters of a string that may be a number: a float has no more digits than that before its point

NO_READING: Columns = (None, None, None)
SKIPPED = MISSING

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_NO_NUMBER = {"nan", "+nan", "-nan", "inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"}


def is_plain(value: Value) -> bool:
    """Whether a finite float is stored as it is."""
    changes_numbers = value.absent or value.map or (value.scale, value.divide, value.offset) != (None, None, None)
    return value.type in (None, "number") and not changes_numbers


def compile_value(value: Value) -> Convert:
    """From a value of the payload to columns."""
    changes = tuple(_changes(value))
    columns = _BY_TYPE[value.type]
    of_null = NO_READING if value.null == "row" else None
    if not changes:
        return lambda found: of_null if found is None else columns(found) or of_null

    def convert(found: Any) -> Columns | None:
        for change in changes:
            found = change(found)
            if found is SKIPPED:
                return None
        return of_null if found is None else columns(found) or of_null

    return convert


def _changes(value: Value) -> list[Change]:
    changes: list[Change] = []
    if value.absent:
        changes.append(_without(value.absent))
    if value.true_words or value.false_words:
        changes.append(_booleans_in_text(value))
    if value.numbers_in_text:
        changes.append(number_in_text)
    if value.map:
        changes.append(_mapped(value))
    arithmetic = compile_arithmetic(value.scale, value.divide, value.offset)
    if arithmetic is not None:
        changes.append(arithmetic)
    return changes


def _without(absent: tuple[Any, ...]) -> Change:
    table = ScalarTable((value, True) for value in absent)
    return lambda value: None if table.get(value, False) else value


def number_in_text(value: Any) -> Any:
    """The number that a string is, as an int where it has neither point nor exponent; NaN and infinity are no reading.
    Everything else is as it was; raises Wrong for a number beyond the range of floats."""
    if type(value) is not str:
        return value
    text = value.strip()
    if len(text) > NUMBER_MAX:
        return value
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        return _finite(float(text))
    return None if text.lower() in _NO_NUMBER else value


def _booleans_in_text(value: Value) -> Change:
    words = dict.fromkeys(value.false_words, False) | dict.fromkeys(value.true_words, True)

    def change(found: Any) -> Any:
        return words.get(found.strip().lower(), found) if type(found) is str else found

    return change


def _mapped(value: Value) -> Change:
    table: ScalarTable[Any] = ScalarTable(value.map)
    if value.otherwise is Else.SKIP:
        return lambda found: found if found is None else table.get(found, SKIPPED)
    if value.otherwise is Else.KEEP:
        return lambda found: table.get(found, found)
    allowed = listed([shown(key) for key, _ in value.map])

    def change(found: Any) -> Any:
        mapped = table.get(found, MISSING)
        if mapped is not MISSING or found is None:
            return None if mapped is MISSING else mapped
        raise Wrong(f"{shown(found)} is not in the map, which has {allowed}")

    return change


def _any_columns(value: Any) -> Columns | None:
    kind = type(value)
    if kind is float or kind is int:
        return _number(value)
    if kind is bool:
        return None, value, None
    if kind is str:
        return _text(value)
    raise Wrong(f"Input should be a number, a boolean or a string, is {shown(value)}")


def _number(value: Any) -> Columns | None:
    """None of NaN and infinity, which only binary formats have: a sensor that has no reading."""
    if type(value) not in (float, int):
        raise Wrong(f"Input should be a number, is {shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        raise Wrong("Input should be a finite number") from None
    return (number, None, None) if -inf < number < inf else None


def _boolean(value: Any) -> Columns:
    if type(value) not in (bool, int, float) or value not in (0, 1):
        raise Wrong(f"Input should be true, false, 0 or 1, is {shown(value)}")
    return None, bool(value), None


def _text(value: Any) -> Columns:
    """A number or a boolean as it is written."""
    if type(value) is not str:
        if type(value) not in SCALARS:
            raise Wrong(f"Input should be a string, is {shown(value)}")
        value = TEXTS[value] if type(value) is bool else str(value)
    if "\0" in value:
        raise Wrong("Input should not contain the NUL character")
    return None, None, value


def _finite(number: float) -> float:
    if not -inf < number < inf:
        raise Wrong("Input should be a finite number")
    return number


_BY_TYPE: dict[str | None, Convert] = {None: _any_columns, "number": _number, "bool": _boolean, "text": _text}
