"""Version 1 as a route. What is surely valid is taken from orjson's document; of everything else pydantic is the judge,
which has the words for what is wrong too.

Both agree on every message: what is fast here only accepts what they can't see differently.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import orjson
from pydantic_core import PydanticCustomError

from traksense_ingest.shared.messages import POINT_NAME_MAX, UNIT_MAX
from traksense_ingest.writer.decode.decode import META_BYTES_MAX, OPENING_BRACE, Decoder
from traksense_ingest.writer.decode.measures import Measures, Reading
from traksense_ingest.writer.decode.points import NUMBERS, TYPES, Columns, columns_of
from traksense_ingest.writer.decode.schema import POINTS_MAX
from traksense_ingest.writer.decode.timestamp import EARLIEST, parse_timestamp
from traksense_ingest.writer.decode.topic import Topic
from traksense_ingest.writer.entry import Entry
from traksense_ingest.writer.outcome import Decoded, Ignored, Poison, Sighting

NESTING_SAFE = 190  # so many brackets can't be nested more deeply than pydantic's 200
NESTING_BYTES = 2 * NESTING_SAFE  # of brackets that are opened and closed
POINT_BYTES, ALL_FIELDS_BYTES = len('{"name":"p","v":1}'), len('{"name":"p","t":null,"v":1,"u":""}')  # at least
NUL_ESCAPED = rb"\u0000"
POINT_TYPES = {None, *TYPES}
LEAST, EXACT = 1e-3, 1e15  # between them Python and orjson write floats alike, and none of them was an integer
KEPT_MAX = 20_000  # names and units; a message has at most 10 000 points
SCHEMA = b'"schema"'
UNSURE_ERRORS = (Poison, ValueError, KeyError, TypeError, AttributeError, PydanticCustomError)
_new = tuple.__new__  # of a NamedTuple, at two thirds of the time
UNSURE: Final = "\0"


class V1:
    """Decodes messages of version 1."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._clock, self._max_future = decoder.clock, timedelta(seconds=decoder.max_future_s)
        self._points = _Points()

    def decode(self, entry: Entry, topic: Topic, document: Any = None) -> Decoded | Ignored:
        """Rows from a payload; `document` is what orjson makes of it, if it is plain JSON. Raises Poison."""
        if topic.kind == "telem" and type(document) is dict:
            try:
                decoded = self._telem(entry, topic, document)
            except UNSURE_ERRORS:
                decoded = None
            if decoded is not None:
                return decoded
        return self._decoder.decoded(entry, topic)

    def decode_plain(self, entry: Entry, topic: Topic, payload: bytes) -> Decoded | None:
        """The rows of a telem message that says that it is version 1, where they are sure; else it has to be looked at
        as all others are."""
        if SCHEMA not in payload or payload[0] != OPENING_BRACE or len(payload) > self._decoder.max_payload_bytes:
            return None
        try:
            return self._telem(entry, topic, orjson.loads(payload))
        except UNSURE_ERRORS:
            return None

    def _telem(self, entry: Entry, topic: Topic, document: dict[str, Any]) -> Decoded | None:
        payload = entry.payload or b""
        points = document["points"]
        if document["schema"] != "v1" or type(points) is not list or len(points) > POINTS_MAX or _has_nul(payload):
            return None
        ts = parse_timestamp(document["ts"])
        if ts < EARLIEST or ts - self._clock() > self._max_future:
            return None
        meta = _meta(document.get("meta"))
        if meta is UNSURE or (meta is not None and len(meta) * len(points) > META_BYTES_MAX):
            return None
        found = self._points.readings(points)
        if found is None:
            return None
        readings, repeated, bytes_each = found
        if len(payload) >= NESTING_BYTES + bytes_each * len(points) and not _is_shallow(payload, points):
            return None
        tenant, site, device, _ = topic
        measures = Measures(tenant, device, ts, meta, readings, repeated)
        seen = ts if entry.retained else entry.received_at
        same_point = len(points) - len(readings) - repeated
        sighting = _new(Sighting, (tenant, device, site, meta, seen))
        return _new(Decoded, (entry, "telem", (sighting,), ts, (measures,), 0, same_point, "", None, None))


def _has_nul(payload: bytes) -> bool:
    """Whether a NUL character may be escaped in it."""
    return b"\\" in payload and NUL_ESCAPED in payload


def _is_shallow(payload: bytes, points: list[Any]) -> bool:
    """Whether nothing in it is nested more deeply than pydantic goes, in unknown keys and in those that come twice too:
    of its brackets, each point has one that is around no other point's."""
    return payload.count(b"{") + payload.count(b"[") - len(points) < NESTING_SAFE


class _Points:
    """Readings of points that nobody has validated. Names and units that were found good are known from then on."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, str | None]] = {}  # by name: it, and the unit that it came with last
        self._units: set[str | None] = {None}

    def readings(self, points: list[Any]) -> tuple[tuple[Reading, ...], int, int] | None:
        """The first of each point, how many others say the same, and of how many bytes a point is at least; None where
        it is not sure. Raises whatever a wrong one makes it raise."""
        if (found := self._of_known(points)) is not None:
            return found, 0, ALL_FIELDS_BYTES
        for point in points:
            if not self._learn(point["name"], point.get("u")):
                return None
        readings: dict[str, Reading] = {}
        repeated = 0
        for point in points:
            name = point["name"]
            reading = (name, *_columns(point["v"], point.get("t")), point.get("u"))
            repeated += name in readings and readings[name] == reading
            readings.setdefault(name, reading)
        return tuple(readings.values()), repeated, POINT_BYTES

    def _of_known(self, points: list[Any]) -> tuple[Reading, ...] | None:
        """One of each point, where all have four fields, other names, and names and units that are known."""
        known, units = self._known, self._units
        readings: dict[str, Reading] = {}
        try:
            for point in points:
                value, type_, unit = point["v"], point["t"], point["u"]
                name, usual_unit = known[point["name"]]  # one object for all messages: found faster from here on
                if unit == usual_unit:
                    unit = usual_unit
                elif unit not in units:
                    return None
                if type(value) is float and (type_ == "float" or type_ in NUMBERS):
                    readings[name] = (name, value, None, None, unit)
                else:
                    readings[name] = (name, *_columns(value, type_), unit)
        except KeyError:
            return None
        return tuple(readings.values()) if len(readings) == len(points) else None

    def _learn(self, name: Any, unit: Any) -> bool:
        """Whether both are good."""
        if type(name) is not str or not 0 < len(name) <= POINT_NAME_MAX:
            return False
        if unit is not None and (type(unit) is not str or len(unit) > UNIT_MAX):
            return False
        if len(self._known) + len(self._units) > KEPT_MAX:
            self._known, self._units = {}, {None}
        self._known[name] = name, unit
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
        return bool(value == 0) or LEAST <= abs(value) < EXACT
    return kind is str or kind is int or kind is bool or value is None
