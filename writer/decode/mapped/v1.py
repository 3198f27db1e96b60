"""Version 1 as a route. What is surely valid is taken from orjson's document; of everything else pydantic is the judge,
which has the words for what is wrong too.

Both agree on every message: what is fast here only accepts what they can't see differently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any, Final

import orjson
from pydantic_core import PydanticCustomError

from traksense_ingest.writer.decode.decode import META_BYTES_MAX, Decoder
from traksense_ingest.writer.decode.measures import Measures, Reading
from traksense_ingest.writer.decode.points import NUMBERS, TYPES, Columns, columns_of
from traksense_ingest.writer.decode.schema import POINTS_MAX
from traksense_ingest.writer.decode.timestamp import parse_timestamp
from traksense_ingest.writer.decode.topic import Topic
from traksense_ingest.writer.entry import Entry
from traksense_ingest.writer.outcome import Decoded, Ignored, Poison, Sighting

NESTING_SAFE = 150  # fewer brackets can't nest more deeply than pydantic's 200
NUL_ESCAPED = rb"\u0000"
NAME_MAX, UNIT_MAX = 256, 64
POINT_TYPES = {None, *TYPES}
LEAST, EXACT = 1e-3, 1e15  # between them Python and orjson write floats alike, and none of them was an integer
KEPT_MAX = 20_000  # names and units; a message has at most 10 000 points
UNSURE: Final = "\0"

_Fields = tuple[Any, Any, Any, Any]
_NAME = itemgetter(0)
_ALL_FIELDS: Callable[[Any], _Fields] = itemgetter("name", "v", "t", "u")


class V1:
    """Decodes messages of version 1."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._points = _Points()

    def decode(self, entry: Entry, topic: Topic, document: Any = None) -> Decoded | Ignored:
        """Rows from a payload; `document` is what orjson makes of it, if it is plain JSON. Raises Poison."""
        if topic.kind == "telem" and type(document) is dict:
            try:
                decoded = self._telem(entry, topic, document)
            except (Poison, KeyError, TypeError, AttributeError, PydanticCustomError):
                decoded = None
            if decoded is not None:
                return decoded
        return self._decoder.decoded(entry, topic)

    def _telem(self, entry: Entry, topic: Topic, document: dict[str, Any]) -> Decoded | None:
        payload = entry.payload or b""
        points = document["points"]
        if document["schema"] != "v1" or type(points) is not list or len(points) > POINTS_MAX:
            return None
        if (b"\\" in payload and NUL_ESCAPED in payload) or not (
            _has_no_more(document, points) or _is_shallow(payload)
        ):
            return None
        ts = parse_timestamp(document["ts"])
        self._decoder.check_time(entry, ts, "ts")
        meta = _meta(document.get("meta"))
        if meta is UNSURE or (meta is not None and len(meta) * len(points) > META_BYTES_MAX):
            return None
        readings = self._points.readings(points)
        if readings is None:
            return None
        tenant, site, device, _ = topic
        rows, repeated, same_point = readings, 0, 0
        if len(set(map(_NAME, readings))) < len(readings):
            rows, repeated = _first_of_each(readings)
            same_point = len(readings) - len(rows) - repeated
        measures = Measures(tenant, device, ts, meta, tuple(rows), repeated)
        seen = ts if entry.retained else entry.received_at
        devices = (Sighting(tenant, device, site, meta, seen),)
        return Decoded(entry, "telem", devices, ts, (measures,), 0, same_point)


def _is_shallow(payload: bytes) -> bool:
    """Whether it can't nest more deeply than pydantic goes, whatever unknown keys hold."""
    return payload.count(b"{") + payload.count(b"[") < NESTING_SAFE


def _has_no_more(document: dict[str, Any], points: list[Any]) -> bool:
    """Whether there are no unknown keys, whose values may be anything; False where it is not sure."""
    return len(document) == 3 + ("meta" in document) and sum(map(len, points)) == 4 * len(points)


def _first_of_each(readings: list[Reading]) -> tuple[list[Reading], int]:
    """Of the readings of a point the first one, and how many others say the same."""
    first: dict[str, Reading] = {}
    repeated = sum(first.setdefault(reading[0], reading) == reading for reading in readings)
    return list(first.values()), repeated - len(first)


class _Points:
    """Readings of points that nobody has validated. Names and units that were found good are known from then on."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._units: set[str | None] = {None}

    def readings(self, points: list[Any]) -> list[Reading] | None:
        """One of each point; None where it is not sure. Raises whatever a wrong one makes it raise."""
        try:
            found = self._of_known(map(_ALL_FIELDS, points))
        except KeyError:
            found = []
        if len(found) < len(points):
            fields = [(point["name"], point["v"], point.get("t"), point.get("u")) for point in points]
            found = self._of_known(fields)
            if len(found) < len(points):
                return self._of_known(fields) if self._learn(fields) else None
        return found

    def _of_known(self, fields: Iterable[_Fields]) -> list[Reading]:
        names, units = self._names, self._units
        return [
            (name, value, None, None, unit)
            if type(value) is float and type_ in NUMBERS
            else (name, *_columns(value, type_), unit)
            for name, value, type_, unit in fields
            if name in names and unit in units
        ]

    def _learn(self, fields: list[_Fields]) -> bool:
        """Whether all names and units are good."""
        if len(self._names) + len(self._units) > KEPT_MAX:
            self._names, self._units = set(), {None}
        for name, _, _, unit in fields:
            if type(name) is not str or not 0 < len(name) <= NAME_MAX:
                return False
            if unit is not None and (type(unit) is not str or len(unit) > UNIT_MAX):
                return False
            self._names.add(name)
            self._units.add(unit)
        return True


def _columns(value: Any, type_: Any) -> Columns:
    if type_ not in POINT_TYPES:
        raise KeyError(type_)
    return columns_of({"name": "", "v": value, "t": type_}, 0)


def _meta(meta: Any) -> str | None:
    """Its JSON, if Python and orjson write it alike; else UNSURE."""
    if not meta:
        return None if meta is None or type(meta) is dict else UNSURE
    if type(meta) is not dict or not all(map(_is_simple, meta.values())):
        return UNSURE
    return orjson.dumps(meta).decode()


def _is_simple(value: Any) -> bool:
    kind = type(value)
    if kind is float:
        return value == 0 or LEAST <= abs(value) < EXACT
    return kind is str or kind is int or kind is bool or value is None
