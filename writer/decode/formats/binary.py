"""Binary payloads: fields at offsets, or entries of a tag and its fields."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from traksense_ingest.shared.mapping.decoding import Binary, Tlv, Unknown
from traksense_ingest.writer.decode.formats.document import Document, FormatError, Parser
from traksense_ingest.writer.decode.formats.fields import FieldReader, compile_fields, read_fields


def binary_parser(binary: Binary) -> Parser:
    """An object of the fields."""
    readers = compile_fields(binary.fields, "binary")

    def parse(payload: bytes, _received: datetime) -> Document:
        if binary.length is not None and len(payload) != binary.length:
            raise FormatError("binary", f"{len(payload)} bytes, should be {binary.length}")
        return read_fields(readers, payload, "binary")

    return parse


def tlv_parser(tlv: Tlv) -> Parser:
    """An object of all entries' fields."""
    table = {entry.tag: (compile_fields(entry.fields, "tlv"), entry.length) for entry in tlv.entries}

    def parse(payload: bytes, _received: datetime) -> Document:
        values: dict[str, Any] = {}
        place = 0
        while place < len(payload):
            begin = place + tlv.type_bytes
            tag = payload[place:begin]
            if (entry := table.get(tag)) is None and tlv.unknown is Unknown.STOP:
                break
            end = _end_of(tlv, payload, begin, 0 if entry is None else entry[1], place)
            if entry is None:
                raise FormatError("tlv", f"byte {place}: no entry for the tag {tag.hex(' ')}")
            _add(values, entry[0], payload[begin + tlv.length_bytes : end], place)
            place = end
        return values

    return parse


def _end_of(tlv: Tlv, payload: bytes, begin: int, length: int, place: int) -> int:
    """Where the entry ends whose length, or value if it has none, begins at `begin`."""
    value = begin + tlv.length_bytes
    if tlv.length_bytes:
        length = int.from_bytes(payload[begin:value], tlv.endian.value)
    if value + length > len(payload):
        raise FormatError("tlv", f"byte {place}: the entry {payload[place:begin].hex(' ')} is cut")
    return value + length


def _add(values: dict[str, Any], readers: tuple[FieldReader, ...], data: bytes, place: int) -> None:
    """A duplicate name would lose a value."""
    for name, value in read_fields(readers, data, f"tlv: byte {place}").items():
        if name in values:
            raise FormatError("tlv", f"byte {place}: duplicate field {name}")
        values[name] = value
