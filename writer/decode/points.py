"""Telemetry → rows of ts_measure: each value in the one column that its type names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import isfinite
from typing import Any

from traksense_ingest.writer.decode.measures import Measures, Reading
from traksense_ingest.writer.decode.schema import Point, Telemetry, no_nul
from traksense_ingest.writer.decode.topic import Topic
from traksense_ingest.writer.outcome import Poison

Columns = tuple[float | None, bool | None, str | None]  # v_num, v_bool, v_text

_NOTHING: Columns = (None, None, None)
NUMBERS = {None, "float", "num", "int"}


def measures_of(topic: Topic, telemetry: Telemetry, meta: str | None) -> tuple[Measures, int]:
    """The rows of one message, and how many points were dropped since another one has the same name. Those that only
    repeat the other one are no loss: the rows count them.

    Raises Poison("parse_error") with the path of the value that is wrong.
    """
    points = telemetry["points"]
    readings: dict[str, Reading] = {}
    repeated = 0
    for index, point in enumerate(points):
        name, unit, value = point["name"], point.get("u"), point["v"]
        is_plain = type(value) is float and isfinite(value) and point.get("t") in NUMBERS  # as nearly all of them are
        reading = (name, value, None, None, unit) if is_plain else (name, *columns_of(point, index), unit)
        if name not in readings:
            readings[name] = reading
        elif readings[name] == reading:
            repeated += 1
    measures = Measures(topic.tenant, topic.device, telemetry["ts"], meta, tuple(readings.values()), repeated)
    return measures, len(points) - len(readings) - repeated


def no_nul_in(points: Sequence[Point]) -> None:
    """Raise Poison("parse_error") where a name or a unit has the character NUL, which PostgreSQL can't hold."""
    for index, point in enumerate(points):
        no_nul(point["name"], f"points.{index}.name")
        no_nul(point.get("u"), f"points.{index}.u")


def columns_of(point: Point, index: int) -> Columns:
    """The columns of a point's value; raises Poison."""
    value = point["v"]
    if value is None:
        return _NOTHING
    to_columns = TYPES[point.get("t") or _json_type(value, index)]
    try:
        return to_columns(value)
    except (ValueError, OverflowError) as error:
        raise Poison("parse_error", f"points.{index}.v", str(error)) from None


def _number(value: Any) -> Columns:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("Input should be a valid number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError("Input should be a finite number")
    return number, None, None


def _boolean(value: Any) -> Columns:
    if not isinstance(value, bool | int | float) or value not in (0, 1):
        raise ValueError("Input should be true, false, 0 or 1")
    return None, bool(value), None


def _text(value: Any) -> Columns:
    if not isinstance(value, str):
        raise ValueError("Input should be a valid string")
    if "\0" in value:
        raise ValueError("Input should not contain the NUL character")
    return None, None, value


def _json_type(value: Any, index: int) -> str:
    for json_type, name in _BY_JSON_TYPE:
        if isinstance(value, json_type):
            return name
    raise Poison("parse_error", f"points.{index}.v", "Input should be a number, a boolean or a string")


TYPES = {
    "float": _number,
    "num": _number,
    "int": _number,
    "bool": _boolean,
    "enum": _text,
    "text": _text,
    "string": _text,
}
_BY_JSON_TYPE: Sequence[tuple[type, str]] = ((bool, "bool"), (float, "num"), (int, "num"), (str, "text"))
