"""CBOR, compared with another decoder, and MessagePack."""

from __future__ import annotations

import math
import struct
from datetime import UTC, datetime
from typing import Any

import cbor2
import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.formats import decoded, refused
from traksense_ingest.writer.decode.formats.document import shortest

LARGEST = 2**1023

keys = st.text(max_size=4) | st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=3)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-LARGEST, LARGEST)
    | st.floats(allow_infinity=False)
    | st.text(max_size=8)
    | st.binary(max_size=8)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
packable = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_infinity=False) | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(max_size=4) | st.integers(0, 2**64 - 1) | st.binary(max_size=3), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def plain(value: Any) -> Any:
    """What a document has for it."""
    match value:
        case bytes():
            return value.hex()
        case float() if math.isnan(value):
            return None
        case dict():
            return {key.hex() if isinstance(key, bytes) else str(key): plain(item) for key, item in value.items()}
        case list():
            return [*map(plain, value)]
        case _:
            return value


def short(value: Any) -> Any:
    """A number that 32 bits hold is read as if it were sent in them, wherever the payload has such a byte."""
    match value:
        case float() if abs(value) < 1e38 and struct.unpack("f", struct.pack("f", value))[0] == value:
            return shortest(value)
        case dict():
            return {key: short(item) for key, item in value.items()}
        case list():
            return [*map(short, value)]
        case _:
            return value


@given(values)
def test_cbor_that_was_encoded(value: Any) -> None:
    assert decoded("cbor", cbor2.dumps(value)) == plain(value)


@given(packable)
def test_message_pack_that_was_encoded(value: Any) -> None:
    assert short(decoded("msgpack", bytes(msgpack.packb(value)))) == short(plain(value))


def test_a_number_of_32_bits_is_the_decimal_that_was_meant() -> None:
    assert decoded("msgpack", bytes(msgpack.packb([4.2, 1e39], use_single_float=False))) == [4.2, 1e39]
    assert decoded("msgpack", b"\x92\xca\x40\x86\x66\x66\xcb\x48\x07\x82\x87\xf4\x9c\x4a\x1d") == [4.2, 1e39]
    assert decoded("msgpack", b"\xca\x7f\xc0\x00\x00") is None


@given(st.binary())
def test_what_another_decoder_refuses_is_refused(payload: bytes) -> None:
    try:
        cbor2.loads(payload, max_depth=64)
    except cbor2.CBORDecodeEOF:
        assert refused("cbor", payload)
    except (cbor2.CBORDecodeError, ValueError, OverflowError):
        return


# RFC 8949, appendix A: bytes in hexadecimal, and the document.
RFC: list[tuple[str, Any]] = [
    *(("00", 0), ("17", 23), ("1818", 24), ("1903e8", 1000), ("1bffffffffffffffff", 2**64 - 1), ("20", -1)),
    *(("3bffffffffffffffff", -(2**64)), ("c249010000000000000000", 2**64), ("c349010000000000000000", -(2**64) - 1)),
    *(
        ("f90000", 0.0),
        ("f93c00", 1.0),
        ("f97bff", 65504.0),
        ("fa47c35000", 100000.0),
        ("f90001", 5.960464477539063e-08),
    ),
    *(("fb3ff199999999999a", 1.1), ("f9c400", -4.0), ("f97e00", None), ("f4", False), ("f5", True), ("f6", None)),
    *(("f7", None), ("c074323031332d30332d32315432303a30343a30305a", "2013-03-21T20:04:00Z")),
    *(("c11a514b67b0", 1363896240), ("c1fb41d452d9ec200000", 1363896240.5), ("d74401020304", "01020304")),
    *(("d818456449455446", "6449455446"), ("40", ""), ("60", ""), ("62c3bc", "ü"), ("64f0908591", "𐅑")),
    *(("80", []), ("83010203", [1, 2, 3]), ("8301820203820405", [1, [2, 3], [4, 5]]), ("a0", {})),
    *(("a201020304", {"1": 2, "3": 4}), ("a26161016162820203", {"a": 1, "b": [2, 3]})),
    *(("5f42010243030405ff", "0102030405"), ("7f657374726561646d696e67ff", "streaming"), ("9fff", [])),
    *(("9f018202039f0405ffff", [1, [2, 3], [4, 5]]), ("83019f0203ff820405", [1, [2, 3], [4, 5]])),
    *(("bf61610161629f0203ffff", {"a": 1, "b": [2, 3]}), ("826161bf61626163ff", ["a", {"b": "c"}])),
    *(("a1f5f4", {"true": False}), ("a14101f6", {"01": None}), ("fa40866666", 4.2), ("d9d9f701", 1)),
]


@pytest.mark.parametrize(("encoded", "document"), RFC)
def test_the_examples_of_rfc_8949(encoded: str, document: Any) -> None:
    found = decoded("cbor", bytes.fromhex(encoded))
    assert found == document
    assert type(found) is type(document)


@pytest.mark.parametrize(
    ("encoded", "reason"),
    [
        ("", "byte 0: 1 bytes should follow, and 0 do"),
        ("1903", "byte 1: 2 bytes should follow, and 1 do"),
        ("0101", "1 bytes follow the value"),
        ("ff", "byte 0: 0xff is not the beginning of a value"),
        ("1c", "byte 0: 0x1c is not the beginning of a value"),
        ("1f", "byte 0: 0x1f is not the beginning of a value"),
        ("df01", "byte 0: 0xdf is not the beginning of a value"),
        ("f820", "byte 0: 0xf8 is not the beginning of a value"),
        ("9f82ff", "byte 2: 0xff is not the beginning of a value"),
        ("bf01ff", "byte 2: 0xff is not the beginning of a value"),
        ("5f6161ff", "byte 1: 0x61 is not the beginning of a value"),
        ("5f5f4101ffff", "byte 1: 0x5f is not the beginning of a value"),
        ("c2", "byte 1: 1 bytes should follow, and 0 do"),
        ("c201", "byte 1: 0x01 is not the beginning of a value"),
        ("c26161", "byte 1: 0x61 is not the beginning of a value"),
        ("c25881" + "01" * 129, "byte 0: an integer of 129 bytes, at most 128"),
        ("61ff", "byte 0: a text string that is not UTF-8"),
        ("a18001", "byte 0: a map's keys should be strings, integers, booleans or bytes"),
        ("a1f901", "byte 2: 2 bytes should follow, and 1 do"),
        ("a1fb3ff199999999999a01", "byte 0: a map's keys should be"),
        ("f97c00", "byte 0: Input should be a finite number"),
        ("9b7fffffffffffffff01", "byte 10: 1 bytes should follow, and 0 do"),
        ("5b7fffffffffffffff01", "byte 9: 9223372036854775807 bytes should follow, and 1 do"),
    ],
)
def test_what_is_wrong_with_cbor(encoded: str, reason: str) -> None:
    assert refused("cbor", bytes.fromhex(encoded)).startswith(f"parse_error: cbor: {reason}")


def test_timestamps_of_message_pack() -> None:
    moment = datetime(2026, 11, 28, 16, 0, 0, 250001, tzinfo=UTC)
    assert decoded("msgpack", bytes(msgpack.packb(moment, datetime=True))) == 1795881600.250001
    assert decoded("msgpack", bytes(msgpack.packb(msgpack.Timestamp(1795881600, 999)))) == 1795881600
    assert decoded("msgpack", bytes(msgpack.packb(msgpack.Timestamp(-(2**40), 0)))) == -(2**40)
    assert decoded("msgpack", bytes(msgpack.packb({1: msgpack.ExtType(5, b"\1\2")}))) == {"1": "0102"}


@pytest.mark.parametrize(
    ("encoded", "reason"),
    [
        ("", "Unpack failed: incomplete input"),
        ("9201", "Unpack failed: incomplete input"),
        ("0101", "unpack(b) received extra data."),
        ("a1ff", "'utf-8' codec can't decode"),
        ("c1", "a byte that is not the beginning of a value"),
        ("819001", "a map's keys should be strings, integers, booleans or bytes"),
        ("d4ff00", "invalid timestamp data"),
        ("cb7ff0000000000000", "Input should be a finite number"),
        ("91" * 2000, "nested too deep"),
    ],
)
def test_what_is_wrong_with_message_pack(encoded: str, reason: str) -> None:
    assert refused("msgpack", bytes.fromhex(encoded)).startswith(f"parse_error: msgpack: {reason}")
