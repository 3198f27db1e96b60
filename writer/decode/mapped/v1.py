"""Version 1 as a route. What is surely valid is taken from orjson's document; of everything else pydantic is the judge,
which has the words for what is wrong too.

Both agree on every message: what is fast here only accepts what they can't see differently.
"""

from __future__ import annotations

from typing import Any, Final

import orjson
from pydantic_core import PydanticCustomError

from traksense_ingest.writer.decode.decode import META_BYTES_MAX, Decoder, sightings_of
from traksense_ingest.writer.decode.measures import Measures, Reading
from traksense_ingest.writer.decode.points import NUMBERS, TYPES, columns_of
from traksense_ingest.writer.decode.schema import POINTS_MAX
from traksense_ingest.writer.decode.timestamp import parse_timestamp
from traksense_ingest.writer.decode.topic import Topic
from traksense_ingest.writer.entry import Entry
from traksense_ingest.writer.outcome import Decoded, Ignored, Poison

NESTING_SAFE = 150  # fewer brackets can't nest more deeply than pydantic's 200
NUL_ESCAPED = rb"\u0000"
NAME_MAX, UNIT_MAX = 256, 64
KEYS = {"schema", "ts", "points", "meta"}
POINT_TYPES = {None, *TYPES}
LEAST, EXACT = 1e-3, 1e15  # between them Python and orjson write floats alike, and none of them was an integer
UNSURE: Final = "\0"


class V1:
    """Decodes messages of version 1."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

    def decode(self, entry: Entry, topic: Topic, document: Any = None) -> Decoded | Ignored:
        """Rows from a payload; `document` is what orjson makes of it, if it is plain JSON. Raises Poison."""
        if topic.kind == "telem" and type(document) is dict:
            try:
                decoded = self._telem(entry, topic, document)
            except (Poison, KeyError, TypeError, PydanticCustomError):
                decoded = None
            if decoded is not None:
                return decoded
        return self._decoder.decoded(entry, topic)

    def _telem(self, entry: Entry, topic: Topic, document: dict[str, Any]) -> Decoded | None:
        payload = entry.payload or b""
        points = document["points"]
        if document["schema"] != "v1" or type(points) is not list or len(points) > POINTS_MAX:
            return None
        is_shallow = payload.count(b"{") + payload.count(b"[") < NESTING_SAFE
        if NUL_ESCAPED in payload or not (is_shallow or document.keys() <= KEYS):
            return None
        ts = parse_timestamp(document["ts"])
        self._decoder.check_time(entry, ts, "ts")
        meta = _meta(document.get("meta"))
        if meta is UNSURE or (meta is not None and len(meta) * len(points) > META_BYTES_MAX):
            return None
        found = _readings(points, is_shallow)
        if found is None:
            return None
        readings, repeated = found
        rows = Measures(topic.tenant, topic.device, ts, meta, tuple(readings.values()), repeated)
        same_point = len(points) - len(readings) - repeated
        return Decoded(entry, "telem", sightings_of(entry, topic, ts, meta), ts, (rows,), same_point=same_point)


def _readings(points: list[Any], is_shallow: bool) -> tuple[dict[str, Reading], int] | None:
    """As `measures_of`, for points that nobody has validated; None where it is not sure. Raises whatever a wrong one
    makes it raise."""
    readings: dict[str, Reading] = {}
    repeated = 0
    for point in points:
        name, value = point["name"], point["v"]
        unit, type_ = point.get("u"), point.get("t")
        if type(name) is not str or not 0 < len(name) <= NAME_MAX or type_ not in POINT_TYPES:
            return None
        if unit is not None and (type(unit) is not str or len(unit) > UNIT_MAX):
            return None
        if not is_shallow and len(point) != 2 + ("u" in point) + ("t" in point):
            return None  # an unknown key may hold anything
        if type(value) is float and type_ in NUMBERS:
            reading = (name, value, None, None, unit)
        else:
            reading = (name, *columns_of(point, 0), unit)
        if name not in readings:
            readings[name] = reading
        elif readings[name] == reading:
            repeated += 1
    return readings, repeated


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
