"""JSON, bare texts, and what a payload is packed in."""

from __future__ import annotations

import base64
import gzip
import json
import sys
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.formats import LIMIT, decoded, refused
from traksense_ingest.shared.mapping.decoding import Packing, Text
from traksense_ingest.writer.decode.formats import FormatError, FormatLimits, unpacker_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


@given(json_values, st.booleans())
def test_json_that_was_encoded(value: Any, is_ascii: bool) -> None:
    assert decoded("json", json.dumps(value, ensure_ascii=is_ascii).encode()) == value


@pytest.mark.parametrize(
    ("payload", "document"),
    [
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (b'{"a":1}\0', {"a": 1}),
        (b"\xef\xbb\xbf[1]\r\n\0\0", [1]),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b"25.5", 25.5),
        (b' "on"\n', "on"),
    ],
)
def test_json(payload: bytes, document: Any) -> None:
    assert decoded("json", payload) == document


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "not JSON: Input is a zero-length, empty document: line 1 column 1 (char 0); it is empty"),
        (b"\0\0", "not JSON: unexpected character, expected a JSON value: line 1 column 1 (char 0); it is nothing but"),
        (
            b"online",
            "not JSON: unexpected character, expected a JSON value: line 1 column 1 (char 0); it looks like plain",
        ),
        (b'{"a":1', "not JSON: unexpected end of data: line 1 column 7 (char 6)"),
        (b'{"a":NaN}', "not JSON: unexpected character, expected a JSON value: line 1 column 6 (char 5)"),
        (b"1e999", "not JSON: number is infinity when parsed as double"),
        (b'"\\ud800"', "not JSON: no low surrogate in string"),
        ('{"a":"é"}'.encode("latin-1"), "not UTF-8 at byte 6; it looks like text of another encoding"),
        (
            b"{'a': 1}",
            "not JSON: unexpected character, expected a string key: line 1 column 2 (char 1); it looks like a Python",
        ),
    ],
)
def test_what_is_no_json(payload: bytes, reason: str) -> None:
    assert refused("json", payload).startswith(f"parse_error: payload: {reason}")


def test_a_text() -> None:
    assert decoded(Text(), b"3.42") == "3.42"
    assert decoded(Text(), b"\xef\xbb\xbf on \r\n\0") == " on "
    assert decoded(Text(), "Küche".encode()) == "Küche"
    assert decoded(Text("latin-1"), "Küche\n".encode("latin-1")) == "Küche"
    assert decoded(Text("utf-16"), "Küche".encode("utf-16")) == "Küche"
    assert decoded(Text("ascii"), b"") == ""


@pytest.mark.parametrize(
    ("encoding", "payload", "reason"),
    [
        ("utf-8", b"\xff", "payload: not UTF-8 at byte 0; it looks like binary data"),
        ("ascii", b"a\xff", "payload: not ASCII at byte 1"),
        ("utf-16", b"abc", "payload: not UTF-16 at byte 2"),
        ("utf-8", b"a\0b", "payload: Input should not contain the NUL character, as at 1"),
    ],
)
def test_what_is_wrong_with_a_text(encoding: str, payload: bytes, reason: str) -> None:
    assert refused(Text(encoding), payload).startswith(f"parse_error: {reason}")


PACKED: list[tuple[Packing, bytes, bytes]] = [
    (Packing.AUTO, b"plain", b"plain"),
    (Packing.AUTO, gzip.compress(b"plain", mtime=0), b"plain"),
    (Packing.GZIP, gzip.compress(b"pl", mtime=0) + gzip.compress(b"ain", mtime=0), b"plain"),
    (Packing.ZLIB, zlib.compress(b"plain"), b"plain"),
    (Packing.ZSTD, zstd.compress(b"plain"), b"plain"),
    (Packing.GZIP, gzip.compress(b"\0binary\0", mtime=0), b"\0binary\0"),
    (Packing.BASE64, b"+/8=", b"\xfb\xff"),
    (Packing.BASE64, b"-_8", b"\xfb\xff"),
    (Packing.BASE64, b"+/\r\n8=\n", b"\xfb\xff"),
    (Packing.BASE64, b"", b""),
    (Packing.HEX, b"00fF", b"\0\xff"),
    (Packing.HEX, b"0x00ff\n", b"\0\xff"),
    (Packing.HEX, b"00 ff", b"\0\xff"),
    (Packing.HEX, b"00:ff", b"\0\xff"),
]


@pytest.mark.parametrize(("packing", "payload", "content"), PACKED)
def test_unpacking(packing: Packing, payload: bytes, content: bytes) -> None:
    assert unpacker_of([packing], FormatLimits(LIMIT))(payload) == content


@pytest.mark.parametrize(
    ("packing", "payload", "reason"),
    [
        (Packing.GZIP, b"plain", "can't be unpacked: incorrect header check (gzip)"),
        (Packing.GZIP, gzip.compress(b"plain", mtime=0)[:-1], "can't be unpacked: it ends too early (gzip)"),
        (Packing.ZLIB, zlib.compress(b"plain") + b"x", "can't be unpacked: 1 bytes follow its end (zlib)"),
        (Packing.ZSTD, b"plain", "can't be unpacked: "),
        (Packing.BASE64, b"A", "not Base64: "),
        (Packing.BASE64, b"AA==AA==", "not Base64: "),
        (Packing.BASE64, b"A*A=", "not Base64: "),
        (Packing.HEX, b"0", "not hexadecimal: "),
        (Packing.HEX, b"0g", "not hexadecimal: "),
    ],
)
def test_what_cannot_be_unpacked(packing: Packing, payload: bytes, reason: str) -> None:
    assert refused("json", payload, (packing,)).startswith(f"parse_error: payload: {reason}")


@given(st.binary(), st.lists(st.sampled_from([Packing.GZIP, Packing.ZLIB, Packing.ZSTD, Packing.BASE64, Packing.HEX])))
def test_what_was_packed_is_unpacked_in_order(content: bytes, packings: list[Packing]) -> None:
    pack: dict[Packing, Callable[[bytes], bytes]] = {
        Packing.GZIP: gzip.compress,
        Packing.ZLIB: zlib.compress,
        Packing.ZSTD: zstd.compress,
        Packing.BASE64: base64.b64encode,
        Packing.HEX: lambda data: data.hex().encode(),
    }
    packed = content
    for packing in reversed(packings):
        packed = pack[packing](packed)
    assert unpacker_of(packings, FormatLimits(LIMIT))(packed) == content


@given(st.sampled_from([*Packing]), st.binary())
def test_any_bytes_are_unpacked_or_refused(packing: Packing, payload: bytes) -> None:
    assert isinstance(refused_or_unpacked(packing, payload), str | bytes)


def refused_or_unpacked(packing: Packing, payload: bytes) -> str | bytes:
    try:
        return unpacker_of([packing], FormatLimits(8))(payload)
    except FormatError as error:
        return str(error)


@pytest.mark.parametrize(("packing", "payload"), [(Packing.BASE64, b"AAAA" * 3), (Packing.HEX, b"00" * 9)])
def test_texts_that_are_too_large_are_not_unpacked(packing: Packing, payload: bytes) -> None:
    assert refused_or_unpacked(packing, payload) == (
        "payload_too_large: payload: 9 bytes when unpacked, at most 8 are allowed"
    )
    assert refused_or_unpacked(packing, payload[: len(payload) * 8 // 9 // 4 * 4]) != ""
