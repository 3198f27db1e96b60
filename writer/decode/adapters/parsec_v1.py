"""Parsec, version 1: {"di1":1,"di2":0,"rssi":-68,"fw":"1.2.3","ts":…}

di1 1/0 is the point `status`, RUN/STOP; di2 1/0 is the point `fault`; rssi is in dBm; fw goes to meta.
"""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import AllowInfNan, Field, PlainValidator, Strict, TypeAdapter
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from traksense_ingest.writer.decode.schema import Object, Point, Telemetry, Timestamp

STATUS = {1: "RUN", 0: "STOP"}


def _digital(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value not in (0, 1):
        raise PydanticCustomError("digital_input", "Input should be 0 or 1")
    return int(value)


DigitalInput = Annotated[int, PlainValidator(_digital)]


class ParsecV1(TypedDict):
    """A message of a Parsec; it has di1, di2 or both, else it isn't recognised."""

    ts: Timestamp
    di1: NotRequired[DigitalInput | None]
    di2: NotRequired[DigitalInput | None]
    rssi: NotRequired[Annotated[float, Strict(), AllowInfNan(False)] | None]
    fw: NotRequired[Annotated[str, Strict(), Field(pattern=r"^[^\x00]*$")] | None]


_schema = TypeAdapter(ParsecV1)


def recognises(message: dict[str, Any]) -> bool:
    """A message with a digital input that is not null is a Parsec's."""
    return message.get("di1") is not None or message.get("di2") is not None


def adapt(message: dict[str, Any]) -> Telemetry:
    """Its digital inputs and its signal as points; raises pydantic's ValidationError."""
    parsec = _schema.validate_python(message)
    points: list[Point] = []
    if (di1 := parsec.get("di1")) is not None:
        points.append({"name": "status", "t": "enum", "v": STATUS[di1]})
    if (di2 := parsec.get("di2")) is not None:
        points.append({"name": "fault", "t": "bool", "v": di2})
    if (rssi := parsec.get("rssi")) is not None:
        points.append({"name": "rssi", "t": "num", "v": rssi, "u": "dBm"})
    meta: Object = {"src": "parsec_v1"}
    if (fw := parsec.get("fw")) is not None:
        meta["fw"] = fw
    return {"ts": parsec["ts"], "points": points, "meta": meta}
