"""The fields of binary data: numbers, bits and strings, compiled once into functions of their bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from traksense_ingest.shared.mapping.decoding import BinaryField, Endian, FieldType
from traksense_ingest.writer.decode.arithmetic import coefficients, ratio_of
from traksense_ingest.writer.decode.formats.document import FormatError, finite, shortest

Convert = Callable[[bytes], Any]

BCD_DIGITS_MAX = 308  # a double holds no more
_FLOATS = {FieldType.F16: "e", FieldType.F32: "f", FieldType.F64: "d"}


@dataclass(frozen=True, slots=True)
class FieldReader:
    """A field, compiled."""

    name: str
    offset: int | None  # bytes; None: after the one before
    size: int | None  # bytes; None: all that follow
    value_of: Convert


def compile_fields(fields: Iterable[BinaryField], where: str) -> tuple[FieldReader, ...]:
    """Readers of the fields; `where` begins the place in their errors."""
    return tuple(
        FieldReader(field.name, field.offset, size_of(field), _compile(field, f"{where}.{field.name}"))
        for field in fields
    )


def read_fields(readers: Iterable[FieldReader], data: bytes, where: str) -> dict[str, Any]:
    """Each field's value. Raises FormatError where the data is too short, or a field's bytes are none of its type."""
    values, end = {}, 0
    for reader in readers:
        begin = end if reader.offset is None else reader.offset
        end = max(begin, len(data)) if reader.size is None else begin + reader.size
        if end > len(data):
            raise FormatError(where, f"{len(data)} bytes, {reader.name} ends at byte {end}")
        values[reader.name] = reader.value_of(data[begin:end])
    return values


def size_of(field: BinaryField) -> int | None:
    """In bytes."""
    match field.type:
        case FieldType.BITS | FieldType.BOOL:
            return field.length or 1
        case FieldType.BCD | FieldType.TEXT | FieldType.HEX:
            return field.length
        case _:
            return int(field.type[1:]) // 8


def _compile(field: BinaryField, where: str) -> Convert:
    value_of = _raw(field, where)
    if field.map:
        value_of = _mapped(value_of, field)
    if field.divide is None and field.scale is None and field.add is None:
        return value_of
    return _scaled(value_of, field, where)


def _raw(field: BinaryField, where: str) -> Convert:
    if make := _MAKERS.get(field.type):
        return make(field, where)
    return _integer(field.endian, signed=field.type.startswith("i"))


def _integer(endian: Endian, signed: bool = False) -> Convert:
    order: Literal["little", "big"] = "little" if endian is Endian.LITTLE else "big"
    return lambda data: int.from_bytes(data, order, signed=signed)


def _float(field: BinaryField, where: str) -> Convert:
    code = _FLOATS[field.type]
    unpack = struct.Struct(f"{'<' if field.endian is Endian.LITTLE else '>'}{code}").unpack

    def value_of(data: bytes) -> float | None:
        number = finite(unpack(data)[0], where)
        return number if number is None or code == "d" else shortest(number, code)

    return value_of


def _bits(field: BinaryField, _where: str) -> Convert:
    whole, lowest = _integer(field.endian), field.bit or 0
    count = field.bits or 1
    mask = (1 << count) - 1
    return lambda data: (whole(data) >> lowest) & mask


def _bool(field: BinaryField, where: str) -> Convert:
    if field.bit is None and field.bits is None:
        return any
    bits = _bits(field, where)
    return lambda data: bits(data) != 0


def _bcd(field: BinaryField, where: str) -> Convert:
    """Two decimal digits in each byte."""

    def value_of(data: bytes) -> int:
        digits = (data[::-1] if field.endian is Endian.LITTLE else data).hex()
        if not digits.isdecimal():
            raise FormatError(where, f"{data[:16].hex()} should be decimal digits, two in each byte")
        if len(digits) > BCD_DIGITS_MAX:
            raise FormatError(where, f"{len(digits)} digits, at most {BCD_DIGITS_MAX} are allowed")
        return int(digits)

    return value_of


def _text(_field: BinaryField, where: str) -> Convert:
    """UTF-8, without the NUL bytes at its end."""

    def value_of(data: bytes) -> str:
        try:
            text = data.rstrip(b"\0").decode()
        except UnicodeDecodeError as error:
            raise FormatError(where, f"not UTF-8 at its byte {error.start}") from None
        if "\0" in text:
            raise FormatError(where, "Input should not contain the NUL character")
        return text

    return value_of


def _mapped(value_of: Convert, field: BinaryField) -> Convert:
    """What the table has no entry for stays. True is not 1 in it, and 1.0 is 1, as in conditions."""
    table = {(isinstance(key, bool), key): value for key, value in field.map}

    def mapped(data: bytes) -> Any:
        value = value_of(data)
        return table.get((isinstance(value, bool), value), value)

    return mapped


def _scaled(value_of: Convert, field: BinaryField, where: str) -> Convert:
    """value / divide * scale + add, exact in decimals and then rounded once: −183 / 10 is −18.3."""
    times, plus, below = coefficients(field.scale, field.divide, field.add)

    def scaled(data: bytes) -> Any:
        value = value_of(data)
        kind = type(value)
        if kind is int and below == 1:
            return value * times + plus  # an integer where all numbers are
        if kind is not int and kind is not float:
            return value  # null, and what the table made a string or a boolean
        above, under = ratio_of(value) if kind is float else (value, 1)
        try:
            return (above * times + plus * under) / (below * under)
        except OverflowError:
            raise FormatError(where, "Input should be a finite number") from None

    return scaled


_MAKERS: Mapping[FieldType, Callable[[BinaryField, str], Convert]] = {
    FieldType.F16: _float,
    FieldType.F32: _float,
    FieldType.F64: _float,
    FieldType.BITS: _bits,
    FieldType.BOOL: _bool,
    FieldType.BCD: _bcd,
    FieldType.TEXT: _text,
    FieldType.HEX: lambda _field, _where: bytes.hex,
}
