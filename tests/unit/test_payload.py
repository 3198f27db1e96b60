"""Payloads that are not plain JSON: what is unpacked, within which limits, and which format is guessed for others."""

from __future__ import annotations

import gzip
import json
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from unittest.mock import Mock

import pytest

from tests.support.decoding import v1_routes
from tests.support.rows import rows_of
from traksense_ingest.writer.decode.mapped.routes import MappedRoutes
from traksense_ingest.writer.decode.payload import MEMBERS, looks_like, packing_of, unwrap
from traksense_ingest.writer.entry import parse_entry
from traksense_ingest.writer.lane import Lane
from traksense_ingest.writer.outcome import Decoded, Outcome, Poison, Rejected

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LIMIT = 100_000


def clock() -> datetime:
    return datetime(2025, 10, 8, tzinfo=UTC)


DECODER = v1_routes(LIMIT, 86_400, clock=clock)
TELEM = json.dumps({"schema": "v1", "ts": "2025-10-07T15:30:00Z", "points": [{"name": "p", "v": "°C"}]}).encode()
ACK = b'{"schema":"v1","cmd_id":"c","ok":true,"more":[1]}'


def deflated(window_bits: int, level: int = -1) -> Callable[[bytes], bytes]:
    def compress(content: bytes) -> bytes:
        compressor = zlib.compressobj(level, zlib.DEFLATED, window_bits)
        return compressor.compress(content) + compressor.flush()

    return compress


def streamed(content: bytes) -> bytes:
    """A frame that does not say how long its content is."""
    compressor = zstd.ZstdCompressor()
    return compressor.compress(content) + compressor.flush()


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "gzip, named": lambda content: (
        gzip.compress(content)[:3] + b"\x08" + gzip.compress(content)[4:10] + b"name\0" + gzip.compress(content)[10:]
    ),
    "zlib": zlib.compress,
    "zlib, stored": deflated(15, 0),
    "zlib, fast": deflated(15, 1),
    "zlib, 512 bytes of window": deflated(9),
    "zlib, 4 KiB of window": deflated(12),
    "zstd": zstd.compress,
    "zstd, streamed": streamed,
}


def decode(payload: bytes, kind: str = "telem", decoder: MappedRoutes = DECODER) -> Outcome:
    topic = b"traksense/t/s/d/" + kind.encode()
    return decoder.decode(parse_entry("ingest:{0}", b"1759851000000-7", [b"topic", topic, b"payload", payload]))


def rejected(payload: bytes) -> str:
    outcome = decode(payload)
    assert isinstance(outcome, Rejected)
    assert outcome.entry.payload == payload, "the dead letter has the exact bytes"
    return outcome.reason


def poison_of(payload: bytes) -> Poison:
    with pytest.raises(Poison) as caught:
        unwrap(payload, packing_of(payload), 4)
    return caught.value


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("kind", ["telem", "ack"])
@pytest.mark.parametrize(
    ("before", "after"),
    [(b"", b""), (b"\xef\xbb\xbf", b""), (b"", b"\0\0"), (b"\xef\xbb\xbf ", b"\n\0"), (b"", b"\0\r\n")],
)
def test_packed_is_stored_as_what_was_packed(packing: str, kind: str, before: bytes, after: bytes) -> None:
    plain, content = (TELEM, ACK)[kind == "ack"], before + (TELEM, ACK)[kind == "ack"] + after
    payload = PACKINGS[packing](content)
    expected, bare, packed = decode(plain, kind), decode(content, kind), decode(payload, kind)
    assert isinstance(expected, Decoded)
    assert isinstance(bare, Decoded)
    assert isinstance(packed, Decoded)
    assert rows_of(bare) == rows_of(packed) == rows_of(expected)
    assert (bare.entry.payload, packed.entry.payload) == (content, payload)
    assert (bare.unpacked, packed.unpacked) == (0, len(content.removeprefix(b"\xef\xbb\xbf").rstrip(b"\0\r\n")))


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_members_one_after_the_other_are_one_payload(pack: Callable[[bytes], bytes]) -> None:
    members = [TELEM[place : place + 20] for place in range(0, len(TELEM), 20)][:MEMBERS]
    rest = TELEM[20 * len(members) :]
    payload = b"".join(map(pack, [*members[:-1], members[-1] + rest]))
    assert isinstance(decode(payload + b"\0"), Decoded)
    assert rejected(payload[:-1]).startswith("parse_error: payload: can't be unpacked: it ends too early")
    assert "more than 4 bytes when unpacked" in str(poison_of(pack(b"[1") + pack(b",2") + pack(b"]")))
    assert "follow its end" in str(poison_of(pack(b"") * (MEMBERS + 1)))


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_bomb_is_unpacked_no_further_than_a_payload_may_be_long(packing: str) -> None:
    payload = PACKINGS[packing](b"[" + b"0" * 50 * LIMIT)
    if len(payload) > LIMIT:
        pytest.skip("not packed at all")
    tracemalloc.start()
    try:
        reason = rejected(payload)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert reason.startswith(
        f"payload_too_large: payload: more than {LIMIT} bytes when unpacked, at most {LIMIT} are allowed"
    )
    assert peak < 10 * LIMIT


@pytest.mark.parametrize("packing", PACKINGS)
def test_what_is_exactly_as_long_as_allowed_is_stored(packing: str) -> None:
    decoder = v1_routes(len(TELEM), 86_400, clock=clock)
    payload = PACKINGS[packing](TELEM)
    if len(payload) <= len(TELEM):
        assert isinstance(decode(payload, decoder=decoder), Decoded)
    assert unwrap(payload, packing.partition(",")[0], len(TELEM)) == TELEM


@pytest.mark.parametrize("packing", PACKINGS)
def test_damage_is_a_dead_letter(packing: str) -> None:
    payload, name = PACKINGS[packing](TELEM), f"({packing.partition(',')[0]})"
    assert rejected(payload[:-1]).startswith("parse_error: payload: can't be unpacked: it ends too early")
    assert rejected(payload + b"\n{}").startswith("parse_error: payload: can't be unpacked: 3 bytes follow its end")
    assert rejected(payload[:-1]).endswith(name)
    for place in range(len(payload)):
        outcome = decode(payload[:place] + bytes([payload[place] ^ 0x55]) + payload[place + 1 :])
        assert isinstance(outcome, Decoded | Rejected)


def test_a_frame_that_asks_for_more_memory_than_a_decoder_has_to_have() -> None:
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    reason = rejected(compressor.compress(TELEM) + compressor.flush())
    assert reason == "parse_error: payload: can't be unpacked: Frame requires too much memory for decoding (zstd)"


def test_packed_twice_is_not_unpacked_twice() -> None:
    assert "looks like gzip (gzip)" in rejected(gzip.compress(gzip.compress(TELEM)))


def test_what_is_wrong_inside_is_said_with_the_packing() -> None:
    reason = rejected(gzip.compress(TELEM.replace(b'"name": "p"', b'"name": 7')))
    assert reason.startswith("parse_error: points.0.name: ")
    assert reason.endswith(" (gzip)")


def test_a_wrong_topic_is_said_first() -> None:
    entry = parse_entry("s", b"1-1", [b"topic", b"elsewhere", b"payload", gzip.compress(TELEM)[:-2]])
    outcome = DECODER.decode(entry)
    assert isinstance(outcome, Rejected)
    assert outcome.error_class == "invalid_topic"


GUESSES = [
    (b" \r\n", "it is nothing but white space"),
    (b"\0\0", "it is nothing but NUL bytes or a byte order mark"),
    (b"\xef\xbb\xbf", "it is nothing but NUL bytes or a byte order mark"),
    (gzip.compress(b"", mtime=0), "it is empty when unpacked (gzip)"),
    (TELEM.decode().encode("utf-16"), "it looks like UTF-16, and should be UTF-8"),
    (b"\xfe\xff" + TELEM.decode().encode("utf-16-be"), "it looks like UTF-16, and should be UTF-8"),
    (TELEM.decode().encode("utf-16-le"), "it looks like UTF-16, and should be UTF-8"),
    (TELEM.decode().encode("utf-16-be"), "it looks like UTF-16, and should be UTF-8"),
    (TELEM.decode().encode("utf-32"), "it looks like UTF-32, and should be UTF-8"),
    (TELEM.decode().encode("utf-32-le"), "it looks like UTF-32, and should be UTF-8"),
    (TELEM.decode().encode("utf-32-be"), "it looks like UTF-32, and should be UTF-8"),
    ('{"name": "Küche"}'.encode("latin-1"), "it looks like text of another encoding than UTF-8, such as Latin-1"),
    (b"\n<!DOCTYPE HTML>\n<html>", "it looks like an HTML page"),
    (b"<html lang=pt>", "it looks like an HTML page"),
    (b'<?xml version="1.0"?><a/>', "it looks like XML"),
    (b"temp;21.5;C;ok\n", "it looks like CSV"),
    (b"online", "it looks like plain text"),
    ("Störung".encode(), "it looks like plain text"),
    (b"{'temp': 21.5}", "it looks like a Python or JavaScript object: names want double quotes"),
    (b"eyJzY2hlbWEiOiJ2MSJ9", "it looks like Base64"),
    (b"7b22736368656d61223a227631227d", "it looks like hexadecimal digits"),
    (b"\x08\x96\x01\x12\x07testing", "it looks like binary data, such as Protobuf, CBOR or MessagePack"),
    (b"\xa2\x62ts\x1a\x65\x00\x00\x00", "it looks like binary data, such as Protobuf, CBOR or MessagePack"),
    (b"\xff", "it looks like binary data, such as Protobuf, CBOR or MessagePack"),
    (b"\x78\x9c\xff\xff\xff\xff", "it looks like binary data, such as Protobuf, CBOR or MessagePack"),
    (b"PK\x03\x04\x14\x00\x00\x00", "it looks like a zip archive"),
    (b"BZh91AY&SY\x00", "it looks like bzip2, which is not unpacked"),
    (deflated(-15)(TELEM), "it looks like binary data, such as Protobuf, CBOR or MessagePack"),
]


@pytest.mark.parametrize(("payload", "said"), GUESSES)
def test_the_dead_letter_of_what_is_no_json_says_what_it_looks_like(payload: bytes, said: str) -> None:
    assert rejected(payload).startswith("parse_error: payload: ")
    assert rejected(payload).endswith(said)


@pytest.mark.parametrize("payload", [b'{"schema": "v1", ', b"{]", b"[1, 2", b'{"a": "\x01"}'])
def test_json_that_is_cut_looks_like_nothing_else(payload: bytes) -> None:
    assert looks_like(payload) == ""
    assert "looks like" not in rejected(payload)


def test_a_character_that_the_end_of_the_sample_cuts_is_no_other_encoding() -> None:
    assert looks_like(b'{"a": ' + "é".encode() * 500) == ""
    assert looks_like(b'{"a": "' + "é".encode() * 500) == ""


def test_a_batch_that_is_large_when_unpacked_is_handled_in_parts() -> None:
    """Eight messages of 1 MB in 30 kB: no more of them are in memory than of messages that come as they are."""
    payload = gzip.compress(TELEM[:-1] + b',"more":"' + b"0" * 1_000_000 + b'"}', mtime=0)
    entry = parse_entry("s", b"1-1", [b"topic", b"traksense/t/s/d/telem", b"payload", payload])
    lane = Lane(Mock(), Mock(decoder=v1_routes(2_000_000, 86_400, clock)))
    assert [len(part) for part in lane._decode_in_parts([entry] * 8)] == [5, 3]
    assert [len(part) for part in lane._decode_in_parts([entry._replace(payload=TELEM)] * 800)] == [800]
    assert not [*lane._decode_in_parts([])]
