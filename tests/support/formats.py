"""Payloads in each of the formats that a mapping can name, and what must hold for the documents that they become."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import cbor2
import msgpack
import pytest

from traksense_ingest.shared.mapping.decoding import (
    Binary,
    BinaryField,
    Decode,
    Endian,
    Entry,
    FieldType,
    Format,
    FormatName,
    Js,
    Packing,
    Text,
    Tlv,
    Unknown,
)
from traksense_ingest.shared.mapping.text import Key, Path, Root
from traksense_ingest.writer.decode.formats import Document, FormatError, FormatLimits, parser_of
from traksense_ingest.writer.decode.formats.sparkplug_schema import Payload

RECEIVED = datetime(2026, 11, 28, 16, 0, 5, 123000, tzinfo=UTC)
LIMIT = 1024 * 1024
LIMITS = FormatLimits(LIMIT)


def path(name: str) -> Path:
    """A path of one key."""
    return Path(name, Root.RECORD, (Key(name),))


def field(name: str, type_: str, **options: Any) -> BinaryField:
    """A field, with decimals given as texts."""
    given: dict[str, Any] = {
        key: Decimal(value) if key in ("divide", "scale", "add") else value for key, value in options.items()
    }
    return BinaryField(name, FieldType(type_), **given)


def codec(code: str, **options: Any) -> Js:
    """A codec; with a bare expression, one whose `data` it is."""
    if "decodeUplink" not in code:
        code = f"function decodeUplink(input) {{ return {{data: {code}}} }}"
    given = {"file": None, "f_port": None, "variables": None, "cpu_ms": 50, "memory_bytes": 8 * 1024 * 1024} | options
    return Js(code, **given)


def decoded(
    format_: Format | str, payload: bytes, unpack: tuple[Packing, ...] = (), received: datetime = RECEIVED
) -> Document:
    """The document of a payload."""
    format_ = FormatName(format_) if isinstance(format_, str) else format_
    return parser_of(Decode(format_), LIMITS, unpack)(payload, received)


def refused(format_: Format | str, payload: bytes, unpack: tuple[Packing, ...] = ()) -> str:
    """Why there is none: class, place and reason."""
    with pytest.raises(FormatError) as caught:
        decoded(format_, payload, unpack)
    return str(caught.value)


def check_plain(document: Document) -> None:
    """Raise AssertionError where a document holds anything but what JSON has."""
    pending = [document]
    while pending:
        value = pending.pop()
        if type(value) is dict:
            assert all(type(key) is str for key in value)
            pending += value.values()
        elif type(value) is list:
            pending += value
        elif type(value) is float:
            assert math.isfinite(value)
        else:
            assert value is None or type(value) in (str, int, bool), repr(value)


def sparkplug(metrics: list[dict[str, Any]], **payload: Any) -> bytes:
    """An encoded payload."""
    message = Payload(timestamp=1795881600000, seq=3, **payload)
    for metric in metrics:
        message.metrics.add(**metric)
    return bytes(message.SerializeToString())


TEN = {f"point{index}": 20.25 + index for index in range(10)}
FIELDS = tuple(field(name, "i16", divide="100") for name in TEN)
TLV = Tlv(
    2,
    0,
    Endian.LITTLE,
    tuple(Entry(bytes([index, 0x67]), (FIELDS[index],), 2) for index in range(10)),
    Unknown.REJECT,
)
CODEC = codec("Object.fromEntries(Array.from({length: 10}, (_, i) => ['point' + i, input.bytes[i] / 10]))")
NANOSECONDS = 1795881600000000000


def _otlp() -> bytes:
    points = ",".join(
        f'{{"name":"{name}","unit":"Cel","gauge":{{"dataPoints":[{{"timeUnixNano":"{NANOSECONDS}","asDouble":{value}}}]}}}}'
        for name, value in TEN.items()
    )
    resource = '{"attributes":[{"key":"device.id","value":{"stringValue":"hvac-3"}}]}'
    return f'{{"resourceMetrics":[{{"resource":{resource},"scopeMetrics":[{{"metrics":[{points}]}}]}}]}}'.encode()


_TIME = "2026-11-28T16:00:00Z"
_VALUES = ",".join(f'"{name}":{value}' for name, value in TEN.items())
_VALUES = ",".join(f'"{name}":{value}' for name, value in TEN.items())
_JSON = f'{{"ts":"{_TIME}","values":{{{_VALUES}}}}}'
_SENML = ",".join(f'{{"n":"{name}","u":"Cel","v":{value}}}' for name, value in TEN.items())

MESSAGES: Mapping[str, tuple[Format, bytes]] = {  # of ten points
    "json": (FormatName.JSON, _JSON.encode()),
    "text": (Text(), b"20.25\n"),
    "senml": (FormatName.SENML, f'[{{"bn":"f803320100024e1a_","bt":1795881600}},{_SENML}]'.encode()),
    "sparkplug_b": (
        FormatName.SPARKPLUG_B,
        sparkplug([{"name": n, "timestamp": 1795881600000, "datatype": 9, "float_value": v} for n, v in TEN.items()]),
    ),
    "line_protocol": (
        FormatName.LINE_PROTOCOL,
        f"air,host=edge1 {','.join(f'{name}={value}' for name, value in TEN.items())} {NANOSECONDS}\n".encode(),
    ),
    "otlp_json": (FormatName.OTLP_JSON, _otlp()),
    "cbor": (FormatName.CBOR, cbor2.dumps({"ts": _TIME, "values": TEN})),
    "msgpack": (FormatName.MSGPACK, bytes(msgpack.packb({"ts": _TIME, "values": TEN}))),
    "binary": (Binary(FIELDS, 20), bytes(range(20))),
    "tlv": (TLV, b"".join(bytes([index, 0x67, index, 8]) for index in range(10))),
    "js": (CODEC, bytes(range(10))),
}
