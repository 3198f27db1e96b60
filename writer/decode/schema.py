"""The payloads of version 1, validated straight from their text.

pydantic checks the shape; `writer.decode.points` checks each value against its type, which costs less there than
as a union of validators here.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Literal, NotRequired, TypeVar

from pydantic import FailFast, Field, PlainValidator, Strict, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from traksense_ingest.writer.decode.payload import SAMPLE, looks_like
from traksense_ingest.writer.decode.timestamp import parse_timestamp
from traksense_ingest.writer.outcome import Poison

T = TypeVar("T")

POINTS_MAX = 10_000
ERRORS_SHOWN = 5

Timestamp = Annotated[datetime, PlainValidator(parse_timestamp)]
Name = Annotated[str, Strict(), Field(min_length=1, max_length=256)]
Unit = Annotated[str, Strict(), Field(max_length=64)]
Object = dict[str, Any]
PointType = Literal["float", "num", "int", "bool", "enum", "text", "string"]


class Point(TypedDict):
    """One reading: name, type `t`, value `v`, unit `u`."""

    name: Name
    v: Any
    t: NotRequired[PointType | None]
    u: NotRequired[Unit | None]


class Telemetry(TypedDict):
    """A telem message of version 1."""

    ts: Timestamp
    points: Annotated[
        list[Point], Field(max_length=POINTS_MAX), FailFast()
    ]  # validating a megabyte of wrong ones takes a second
    meta: NotRequired[Object | None]


class TelemV1(Telemetry):
    """telem v1"""

    schema: Literal["v1"]


class AckV1(TypedDict):
    """ack v1"""

    schema: Literal["v1"]
    cmd_id: Name
    ok: Annotated[bool, Strict()]
    ts_exec: NotRequired[Timestamp | None]
    err: NotRequired[Annotated[str, Strict()] | None]


class EventV1(TypedDict):
    """event v1"""

    schema: Literal["v1"]
    event_type: Name
    ts: Timestamp
    event_id: NotRequired[Name | None]
    data: NotRequired[Object | None]


class StateV1(TypedDict):
    """state v1"""

    schema: Literal["v1"]
    state: Name
    ts: NotRequired[Timestamp | None]


class CommandV1(TypedDict):
    """cmd v1"""

    schema: Literal["v1"]
    cmd_id: Name
    cmd: NotRequired[Name | None]
    ts: NotRequired[Timestamp | None]
    params: NotRequired[Object | None]


telem_v1 = TypeAdapter(TelemV1)
ack_v1 = TypeAdapter(AckV1)
event_v1 = TypeAdapter(EventV1)
state_v1 = TypeAdapter(StateV1)
command_v1 = TypeAdapter(CommandV1)
any_object = TypeAdapter(Object)


def validate(schema: TypeAdapter[T], text: str) -> T:
    """The value in a payload's text; raises Poison("parse_error") with the paths of what is wrong."""
    try:
        return schema.validate_json(text)
    except ValidationError as error:
        raise as_poison(error, text) from None


def as_poison(error: ValidationError, text: str = "") -> Poison:
    """The first few of pydantic's errors as `where: what; where: what`; and where the text is no JSON, what it looks
    like."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    found = [(".".join(map(str, detail["loc"])), detail["msg"]) for detail in details[:ERRORS_SHOWN]]
    (where, what), *others = found
    what += "".join(f"; {path}: {message}" for path, message in others)
    if len(details) > ERRORS_SHOWN:
        what += f"; and {len(details) - ERRORS_SHOWN} more"
    if details[0]["type"] == "json_invalid":
        what += looks_like(text[:SAMPLE].encode())
    return Poison("parse_error", where or "payload", what)


def compact_json(value: object, where: str) -> str:
    """JSON for a jsonb column; raises Poison("parse_error") for what jsonb can't hold: NaN, infinity, NUL."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise Poison("parse_error", where, str(error)) from None
    if "\\u0000" in text and _has_nul(value):
        raise Poison("parse_error", where, "should not contain the NUL character")
    return text


def no_nul(text: str | None, where: str) -> None:
    """Raise Poison("parse_error") where a text has the one character that PostgreSQL can't hold."""
    if text is not None and "\0" in text:
        raise Poison("parse_error", where, "should not contain the NUL character")


def _has_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_has_nul(key) or _has_nul(item) for key, item in value.items())
    return isinstance(value, list) and any(map(_has_nul, value))
