"""`binary` and `tlv`, parsed: fields of bytes."""

from __future__ import annotations

import re

from traksense_ingest.shared.mapping.decoding import Binary, BinaryField, Endian, Entry, FieldType, Tlv, Unknown
from traksense_ingest.shared.mapping.faults import quoted
from traksense_ingest.shared.mapping.read.cursor import Cursor, Keys
from traksense_ingest.shared.mapping.read.values import scalar_table

LENGTH_MAX = 1024 * 1024
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})(?: ?[0-9a-fA-F]{2})?", re.ASCII)
_FIELD_KEYS = ("name", "type", "offset", "length", "bit", "bits", "endian", "divide", "scale", "add", "map")
_BY_LENGTH = (FieldType.BCD, FieldType.TEXT, FieldType.HEX)
_BITS = (FieldType.BITS, FieldType.BOOL)
_SIZES = {kind: int(kind[1:]) // 8 for kind in FieldType if kind[1:].isdigit()}


def size(field: BinaryField) -> int | None:
    """How many bytes a field has; None: all to the end."""
    if field.type in _SIZES:
        return _SIZES[field.type]
    return field.length if field.type in _BY_LENGTH else field.length or 1


def binary(keys: Keys) -> Binary:
    """A struct's fields."""
    at = keys.required("fields", "a list of fields, such as {name: temp, type: i16, divide: 10}")
    endian = _endian(keys)
    found = tuple(_field(item, endian) for item in at.items("a list of fields")) if at else ()
    length = keys.read("length", lambda length: length.integer(0, LENGTH_MAX), None)
    if at and length is not None and (needed := _needed(found)) > length:
        at.fault(f"they need {needed} bytes, but length is {length}")
    return Binary(found, length)


def tlv(keys: Keys) -> Tlv:
    """Tags with their fields."""
    type_bytes = keys.read("type_bytes", lambda at: at.integer(1, 2), 1)
    length_bytes = keys.read("length_bytes", lambda at: at.integer(0, 2), 0)
    endian = _endian(keys)
    at = keys.required("entries", 'tags and their fields, such as {"01 75": {name: battery, type: u8}}')
    table = at.table("tags and their fields") if at else []
    return Tlv(
        type_bytes,
        length_bytes,
        endian,
        tuple(_entry(key, value, type_bytes, length_bytes, endian) for key, value in table),
        keys.read("unknown", lambda unknown: unknown.choice(Unknown), Unknown.REJECT),
    )


def _endian(keys: Keys) -> Endian:
    return keys.read("endian", lambda at: at.choice(Endian), Endian.BIG)


def _entry(key: Cursor, at: Cursor, type_bytes: int, length_bytes: int, endian: Endian) -> Entry:
    tag = b""
    text = key.matching(_HEX, f'a tag of {type_bytes} bytes in hexadecimal, such as "{"01 75"[: type_bytes * 3 - 1]}"')
    if _HEX.fullmatch(text):
        tag = bytes.fromhex(text)
        if len(tag) != type_bytes:
            key.fault(f"{quoted(text)} has {len(tag)} bytes, but type_bytes is {type_bytes}")
    found = tuple(_field(item, endian) for item in at.one_or_more())
    if not length_bytes and any(size(field) is None for field in found):
        at.fault("needs a length, since the payload has none: length_bytes is 0")
    return Entry(tag, found, _needed(found))


def _needed(fields: tuple[BinaryField, ...]) -> int:
    """The bytes up to the end of the last field; what has no length of its own needs none."""
    end = most = 0
    for field in fields:
        end = (end if field.offset is None else field.offset) + (size(field) or 0)
        most = max(most, end)
    return most


def _field(at: Cursor, endian: Endian) -> BinaryField:
    keys = at.keys(*_FIELD_KEYS, what="a field such as {name: temp, type: i16}")
    named = keys.required("name", "the field's key")
    typed = keys.required("type", "a type such as u8, i16, f32, bits or text")
    kind = typed.choice(FieldType) if typed else FieldType.U8
    field = BinaryField(
        name=named.text("a name") if named else "",
        type=kind,
        offset=keys.read("offset", lambda offset: offset.integer(0, LENGTH_MAX), None),
        length=keys.read("length", lambda length: length.integer(1, 8 if kind in _BITS else LENGTH_MAX), None),
        bit=keys.read("bit", lambda bit: bit.integer(0, 63), None),
        bits=keys.read("bits", lambda bits: bits.integer(1, 64), None),
        endian=keys.read("endian", lambda order: order.choice(Endian), endian),
        scale=keys.read("scale", Cursor.decimal, None),
        divide=keys.read("divide", Cursor.decimal, None),
        add=keys.read("add", Cursor.decimal, None),
        map=keys.read("map", lambda table: scalar_table(table, Cursor.scalar), ()),
    )
    _check(keys, field)
    return field


def _check(keys: Keys, field: BinaryField) -> None:
    if field.divide == 0:
        keys.found["divide"].fault("division by 0")
    for key in ("bit", "bits"):
        if key in keys and field.type not in _BITS:
            keys.found[key].fault(f"only for bits and bool, not for {field.type}")
    if "length" in keys and field.type in _SIZES:
        keys.found["length"].fault(f"{field.type} always has {_SIZES[field.type]} bytes")
    if field.type is FieldType.BCD and field.length is None:
        keys.required("length", "the number of bytes, which bcd needs")
    width = 8 * (size(field) or 0)
    lowest, count = field.bit or 0, field.bits or 1
    if field.type in _BITS and lowest + count > width:
        keys.at.fault(f"bits {lowest} to {lowest + count - 1} of only {width}; the lowest is 0")
