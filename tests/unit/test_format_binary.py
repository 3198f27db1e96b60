"""Fields of bytes: numbers, bits and texts at offsets, and tables of tags."""

from __future__ import annotations

import struct
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.formats import decoded, field, refused
from traksense_ingest.shared.mapping.decoding import Binary, BinaryField, Endian, Entry, Tlv, Unknown

LITTLE = {"endian": Endian.LITTLE}


def value(found: BinaryField, data: str | bytes) -> Any:
    """Of the only field."""
    payload = bytes.fromhex(data) if isinstance(data, str) else data
    return decoded(Binary((found,)), payload)[found.name]


@pytest.mark.parametrize(
    ("type_", "options", "data", "expected"),
    [
        ("u8", {}, "ff", 255),
        ("i8", {}, "ff", -1),
        ("u16", {}, "0102", 258),
        ("u16", LITTLE, "0102", 513),
        ("i24", {}, "fffffe", -2),
        ("u24", LITTLE, "010000", 1),
        ("u32", {}, "ffffffff", 2**32 - 1),
        ("i64", {}, "8000000000000000", -(2**63)),
        ("f32", {}, "40866666", 4.2),
        ("f32", LITTLE, "66668640", 4.2),
        ("f16", {}, "4433", 4.2),
        ("f64", {}, "4010cccccccccccd", 4.2),
        ("f32", {}, "7fc00000", None),
        ("bool", {}, "00", False),
        ("bool", {}, "02", True),
        ("bool", {"bit": 3}, "08", True),
        ("bool", {"bit": 2}, "08", False),
        ("bits", {"bit": 4, "bits": 4}, "5a", 5),
        ("bits", {"bits": 4}, "5a", 10),
        ("bits", {"bit": 7}, "80", 1),
        ("bits", {"bit": 4, "bits": 8, "length": 2}, "1234", 0x23),
        ("bits", {"bit": 4, "bits": 8, "length": 2, **LITTLE}, "3412", 0x23),
        ("bcd", {"length": 2}, "1234", 1234),
        ("bcd", {"length": 2, **LITTLE}, "3412", 1234),
        ("text", {"length": 4}, "61c3a900", "aé"),
        ("text", {}, "6162", "ab"),
        ("hex", {"length": 2}, "01ff00", "01ff"),
        ("hex", {"offset": 1}, "01ff00", "ff00"),
        ("i16", {"divide": "10"}, "ff49", -18.3),
        ("u8", {"divide": "2", "add": "-40"}, "55", 2.5),
        ("u8", {"add": "-40"}, "55", 45),
        ("u8", {"scale": "0.1"}, "03", 0.3),
        ("u8", {"scale": "0"}, "03", 0),
        ("f32", {"divide": "10"}, "40866666", 0.42),
        ("f32", {"divide": "10"}, "7fc00000", None),
        ("u8", {"map": ((0, "off"), (1, "on"))}, "01", "on"),
        ("u8", {"map": ((0, "off"),)}, "07", 7),
        ("u8", {"map": ((True, "on"),)}, "01", 1),
        ("bool", {"map": ((True, "on"),)}, "01", "on"),
        ("u8", {"map": ((255, None),), "divide": "10"}, "ff", None),
        ("u8", {"map": ((255, None),), "divide": "10"}, "fe", 25.4),
    ],
)
def test_a_field_of_each_type(type_: str, options: dict[str, Any], data: str, expected: Any) -> None:
    found = value(field("a", type_, **options), data)
    assert found == expected
    assert type(found) is type(expected)


def test_fields_follow_each_other_or_are_at_offsets() -> None:
    binary = Binary((field("a", "u8"), field("b", "u16"), field("c", "u8", offset=0), field("d", "u8")), 3)
    assert decoded(binary, b"\1\2\3") == {"a": 1, "b": 515, "c": 1, "d": 2}


@pytest.mark.parametrize(
    ("found", "data", "reason"),
    [
        (field("a", "u16"), "01", "binary: 1 bytes, a ends at byte 2"),
        (field("a", "hex", offset=3), "01", "binary: 1 bytes, a ends at byte 3"),
        (field("a", "bcd", length=1), "1a", "binary.a: 1a should be decimal digits, two in each byte"),
        (field("a", "bcd", length=200), "11" * 200, "binary.a: 400 digits, at most 308 are allowed"),
        (field("a", "text"), "61ff", "binary.a: not UTF-8 at its byte 1"),
        (field("a", "text"), "610062", "binary.a: Input should not contain the NUL character"),
        (field("a", "f32"), "7f800000", "binary.a: Input should be a finite number"),
        (field("a", "f64", scale="10"), "7fe0000000000000", "binary.a: Input should be a finite number"),
    ],
)
def test_what_is_wrong_with_a_field(found: BinaryField, data: str, reason: str) -> None:
    assert refused(Binary((found,)), bytes.fromhex(data)) == f"parse_error: {reason}"


def test_a_length_is_exact_where_it_is_given() -> None:
    assert refused(Binary((field("a", "u8"),), 10), b"\1\2") == "parse_error: binary: 2 bytes, should be 10"
    assert decoded(Binary((field("a", "u8"),)), b"\1\2") == {"a": 1}


MILESIGHT = Tlv(
    2,
    0,
    Endian.LITTLE,
    (
        Entry(b"\x01\x75", (field("battery", "u8"),), 1),
        Entry(b"\x03\x67", (field("temperature", "i16", divide="10", **LITTLE),), 2),
        Entry(b"\x04\x68", (field("humidity", "u8", divide="2"),), 1),
    ),
    Unknown.REJECT,
)


def test_a_table_of_tags() -> None:
    payload = bytes.fromhex("017564036748ff0468a3")
    assert decoded(MILESIGHT, payload) == {"battery": 100, "temperature": -18.4, "humidity": 81.5}
    assert decoded(MILESIGHT, b"") == {}


def test_tags_with_lengths() -> None:
    for width, endian in ((1, Endian.BIG), (2, Endian.BIG), (2, Endian.LITTLE)):
        tlv = Tlv(1, width, endian, (Entry(b"\1", (field("a", "hex"),), 0),), Unknown.STOP)
        length = (3).to_bytes(width, "little" if endian is Endian.LITTLE else "big")
        assert decoded(tlv, b"\1" + length + b"\1\2\3") == {"a": "010203"}
        assert decoded(tlv, b"\1" + length + b"\1\2\3\7anything") == {"a": "010203"}


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ("01756409", "tlv: byte 3: the entry 09 is cut"),
        ("0175640999", "tlv: byte 3: no entry for the tag 09 99"),
        ("017564036748", "tlv: byte 3: the entry 03 67 is cut"),
        ("0175640175", "tlv: byte 3: the entry 01 75 is cut"),
        ("017564017563", "tlv: byte 3: duplicate field battery"),
    ],
)
def test_what_is_wrong_with_tags(payload: str, reason: str) -> None:
    assert refused(MILESIGHT, bytes.fromhex(payload)) == f"parse_error: {reason}"


def test_a_length_beyond_the_end() -> None:
    tlv = Tlv(1, 1, Endian.BIG, (Entry(b"\1", (field("a", "u16"),), 2),), Unknown.REJECT)
    assert refused(tlv, b"\1\5ab") == "parse_error: tlv: byte 0: the entry 01 is cut"
    assert refused(tlv, b"\1\1a") == "parse_error: tlv: byte 0: 1 bytes, a ends at byte 2"


LAYOUTS = {"u8": "B", "i8": "b", "u16": "H", "i16": "h", "u32": "I", "i32": "i", "u64": "Q", "i64": "q", "f64": "d"}


@given(st.sampled_from([*LAYOUTS]), st.sampled_from([*Endian]), st.data())
def test_what_was_packed_is_read(type_: str, endian: Endian, data: st.DataObject) -> None:
    layout = struct.Struct(f"{'<' if endian is Endian.LITTLE else '>'}{LAYOUTS[type_]}")
    raw = data.draw(st.binary(min_size=layout.size, max_size=layout.size))
    (number,) = layout.unpack(raw)
    if number == number and abs(number) != float("inf"):
        assert value(field("a", type_, endian=endian), raw) == number


@given(st.integers(-(2**15), 2**15 - 1), st.integers(0, 4), st.integers(-5000, 5000))
def test_scaling_is_exact_in_decimals(number: int, places: int, hundredths: int) -> None:
    divide, add = Decimal(10) ** places, Decimal(hundredths) / 100
    found = value(field("a", "i16", divide=divide, add=add), number.to_bytes(2, "big", signed=True))
    assert found == float(Decimal(number) / divide + add)
