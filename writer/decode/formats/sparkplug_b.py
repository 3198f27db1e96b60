"""Sparkplug B (Eclipse Sparkplug 3.0): a payload's metrics as plain values.

A metric that only has an alias gets its name and data type from the BIRTH, which is not in the payload; until then its
value is as it is on the wire: signed integers as unsigned ones, arrays as bytes. `with_datatype` completes it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from google.protobuf.message import DecodeError

from traksense_ingest.writer.decode.formats.document import (
    ITEMS_MAX,
    Document,
    FormatError,
    finite,
    shortest,
    too_large,
)
from traksense_ingest.writer.decode.formats.sparkplug_schema import DATATYPES, Payload

BDSEQ = "bdSeq"
CONTROLS = ("Node Control/", "Device Control/")

_INTEGER_BITS = {"Int8": 8, "Int16": 16, "Int32": 32, "Int64": 64, "UInt8": 8, "UInt16": 16, "UInt32": 32, "UInt64": 64}
_ARRAY_CODES = {
    "Int8Array": "b",
    "Int16Array": "h",
    "Int32Array": "i",
    "Int64Array": "q",
    "UInt8Array": "B",
    "UInt16Array": "H",
    "UInt32Array": "I",
    "UInt64Array": "Q",
    "FloatArray": "f",
    "DoubleArray": "d",
    "DateTimeArray": "q",
}


def parse_sparkplug(payload: bytes, _received: datetime) -> Document:
    """`timestamp` (ms), `seq`, `bd_seq`, `metrics`, and apart from them the `controls` that a node or device offers."""
    try:
        message = Payload.FromString(payload)
        if payload and not message.ListFields():
            raise FormatError("payload", "it has no field of a Sparkplug payload")
        return _document(message)
    except (DecodeError, UnicodeDecodeError) as error:
        raise FormatError("payload", f"not a Sparkplug payload: {error}") from None


def with_datatype(metric: dict[str, Any], name: str, datatype: str) -> dict[str, Any]:
    """A metric that came with its alias alone, as its BIRTH declares it. Raises FormatError."""
    value = metric["value"]
    if isinstance(value, str) and (datatype in _ARRAY_CODES or datatype in _ARRAYS):
        try:
            return metric | {
                "name": name,
                "datatype": datatype,
                "value": typed(bytes.fromhex(value), datatype, name[:64]),
            }
        except ValueError as error:
            raise FormatError(name[:64], f"can't be read as {datatype}: {error}") from None
    return metric | {"name": name, "datatype": datatype, "value": typed(value, datatype, name[:64])}


def typed(value: Any, datatype: str, where: str) -> Any:
    """A value of the wire as what its data type says. Raises FormatError."""
    if isinstance(value, bytes):
        return _of_bytes(value, datatype, where)
    if type(value) is int:
        return _of_integer(value, datatype)
    return finite(value, where) if isinstance(value, float) else value


def _document(message: Any) -> dict[str, Any]:
    if len(message.metrics) > ITEMS_MAX:
        raise too_large(f"{len(message.metrics)} metrics, at most {ITEMS_MAX} are allowed")
    document = {name: getattr(message, name) for name in ("timestamp", "seq", "uuid") if message.HasField(name)}
    document |= {"metrics": [], "controls": []}
    for index, metric in enumerate(message.metrics):
        name = metric.name
        if name == BDSEQ:
            document["bd_seq"] = _value(metric, "UInt64", BDSEQ)
        else:
            kind = "controls" if name.startswith(CONTROLS) else "metrics"
            document[kind].append(_metric(metric, f"metrics[{index}]"))
    return document


def _metric(metric: Any, where: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("name", "alias", "timestamp"):
        if metric.HasField(name):
            found[name] = getattr(metric, name)
    datatype = _datatype(metric.datatype)
    if metric.datatype:
        found["datatype"] = datatype
    found["value"] = None if metric.is_null else _value(metric, datatype, where)
    found["is_null"] = metric.is_null or found["value"] is None
    found["is_historical"] = metric.is_historical
    found["is_transient"] = metric.is_transient
    if metric.HasField("properties"):
        found["properties"] = _properties(metric.properties, where)
    return found


def _datatype(number: int) -> str:
    return DATATYPES[number] if number < len(DATATYPES) else "Unknown"


def _value(holder: Any, datatype: str, where: str) -> Any:
    """Of anything that has the alternatives: a metric, a property, a parameter, an element of a row."""
    which = holder.WhichOneof("value")
    if which is None:
        return None
    value = getattr(holder, which)
    if which == "float_value":
        number = finite(value, where)
        return number if number is None else shortest(number)
    return _NESTED[which](value, where) if which in _NESTED else typed(value, datatype, where)


def _of_integer(value: int, datatype: str) -> int | bool:
    """A negative one comes as the unsigned one of its width, or of the field's: both are −1 in 8 bits of 0xFFFFFFFF."""
    if bits := _INTEGER_BITS.get(datatype):
        value &= (1 << bits) - 1
        return value - (1 << bits) if datatype[0] == "I" and value >> (bits - 1) else value
    return value != 0 if datatype == "Boolean" else value


def _of_bytes(value: bytes, datatype: str, where: str) -> Any:
    if code := _ARRAY_CODES.get(datatype):
        return _numbers(value, code, where)
    return _ARRAYS[datatype](value, where) if datatype in _ARRAYS else value.hex()


def _numbers(value: bytes, code: str, where: str) -> list[Any]:
    width = struct.calcsize(f"<{code}")
    if len(value) % width:
        raise FormatError(where, f"{len(value)} bytes, an array's items have {width} each")
    numbers = struct.unpack(f"<{len(value) // width}{code}", value)
    if code not in "fd":
        return [*numbers]
    read = [finite(number, where) for number in numbers]
    return [number if number is None or code == "d" else shortest(number) for number in read]


def _booleans(value: bytes, where: str) -> list[bool]:
    """Their number in four bytes, then eight in each byte, the first one in its highest bit."""
    count = int.from_bytes(value[:4], "little")
    if len(value) < 4 or (count + 7) // 8 != len(value) - 4:
        raise FormatError(where, f"{len(value)} bytes, which is not the size of an array of {count} booleans")
    return [bool(value[4 + index // 8] >> (7 - index % 8) & 1) for index in range(count)]


def _strings(value: bytes, where: str) -> list[str]:
    """Each ends with a NUL byte."""
    if value and value[-1]:
        raise FormatError(where, "the last string of an array has no NUL byte after it")
    return [text.decode() for text in value.split(b"\0")[:-1]]


def _properties(properties: Any, where: str) -> dict[str, Any]:
    return {
        key: None if value.is_null else _value(value, _datatype(value.type), where)
        for key, value in zip(properties.keys, properties.values, strict=False)
    }


def _dataset(dataset: Any, where: str) -> list[dict[str, Any]]:
    """A list of rows, each an object of its columns."""
    types = [_datatype(number) for number in dataset.types]
    columns = [*zip(dataset.columns, types, strict=False)]
    return [_row(columns, row.elements, where) for row in dataset.rows]


def _row(columns: list[tuple[str, str]], elements: Iterable[Any], where: str) -> dict[str, Any]:
    return {
        name: _value(element, datatype, where) for (name, datatype), element in zip(columns, elements, strict=False)
    }


def _template(template: Any, where: str) -> dict[str, Any]:
    """An object of its parameters and members."""
    found = {item.name: _value(item, _datatype(item.type), where) for item in template.parameters}
    for metric in template.metrics:
        found[metric.name] = None if metric.is_null else _value(metric, _datatype(metric.datatype), where)
    return found


_ARRAYS: dict[str, Callable[[bytes, str], Any]] = {"BooleanArray": _booleans, "StringArray": _strings}
_NESTED: dict[str, Callable[[Any, str], Any]] = {
    "dataset_value": _dataset,
    "template_value": _template,
    "propertyset_value": _properties,
    "propertysets_value": lambda sets, where: [_properties(item, where) for item in sets.propertyset],
}
