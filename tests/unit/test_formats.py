"""Every format: any bytes become a plain document or a FormatError, however they are cut, nested or inflated."""

from __future__ import annotations

import base64
import gzip
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.budget import examples
from tests.support.formats import CODEC, LIMIT, LIMITS, MESSAGES, RECEIVED, check_plain, codec, decoded, path, refused
from traksense_ingest.shared.mapping.decoding import Decode, FormatName, Packing, Text
from traksense_ingest.shared.messages import POISON_REASONS
from traksense_ingest.writer.decode.formats import Document, FormatError, Parser, parser_of
from traksense_ingest.writer.outcome import Poison

PARSERS: dict[str, Parser] = {name: parser_of(Decode(format_), LIMITS) for name, (format_, _) in MESSAGES.items()}
EVERY = pytest.mark.parametrize("name", MESSAGES)


def check(parse: Parser, payload: bytes) -> str:
    """What kind of outcome it was."""
    outcome = outcome_of(parse, payload)
    if not isinstance(outcome, FormatError):
        check_plain(outcome)
        return "decoded"
    assert outcome.reason in POISON_REASONS
    assert str(outcome) == f"{outcome.reason}: {outcome.where}: {outcome.what}"
    assert len(str(outcome)) < 600
    return "refused"


def outcome_of(parse: Parser, payload: bytes) -> Document | FormatError:
    try:
        return parse(payload, RECEIVED)
    except FormatError as error:
        return error


@EVERY
def test_a_message_of_ten_points_is_decoded(name: str) -> None:
    assert check(PARSERS[name], MESSAGES[name][1]) == "decoded"


@EVERY
@settings(max_examples=examples(300))
@given(st.data())
def test_any_bytes(name: str, data: st.DataObject) -> None:
    check(PARSERS[name], data.draw(st.binary()))


@EVERY
@settings(max_examples=examples(300))
@given(st.data())
def test_a_message_with_some_bytes_replaced(name: str, data: st.DataObject) -> None:
    payload = bytearray(MESSAGES[name][1])
    for _ in range(data.draw(st.integers(1, 4))):
        begin = data.draw(st.integers(0, len(payload)))
        payload[begin : begin + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    check(PARSERS[name], bytes(payload))


@EVERY
def test_every_beginning_of_a_message(name: str) -> None:
    payload = MESSAGES[name][1]
    outcomes = {check(PARSERS[name], payload[:end]) for end in range(len(payload))}
    assert "refused" in outcomes or name in ("text", "js")


@pytest.mark.parametrize("name", ["json", "senml", "otlp_json", "cbor", "msgpack", "binary"])
def test_no_beginning_of_a_message_is_one(name: str) -> None:
    payload = MESSAGES[name][1]
    assert {check(PARSERS[name], payload[:end]) for end in range(len(payload))} == {"refused"}


MEGABYTES: dict[str, bytes] = {
    "zeros": bytes(LIMIT),
    "ones": b"\xff" * LIMIT,
    "byte order marks": b"\xef\xbb\xbf" * (LIMIT // 3),
    "JSON arrays": b"[" * LIMIT,
    "JSON objects": b'{"a":' * (LIMIT // 5),
    "empty records": b"[" + b"{}," * (LIMIT // 3 - 1) + b"{}]",
    "a long base name": b'[{"bn":"' + b"a" * (LIMIT // 2) + b'"}' + b',{"n":"a"}' * (LIMIT // 21) + b"]",
    "digits": b"9" * LIMIT,
    "a line of digits": b"a b=" + b"9" * (LIMIT - 5) + b"i",
    "backslashes": b"\\" * LIMIT,
    "quotes": b'a b="' + b'\\"' * (LIMIT // 2 - 4),
    "spaces": b"a" + b" " * (LIMIT - 1),
    "tags": b"a" + b",a=b" * (LIMIT // 4 - 1),
    "comments": b"#\n" * (LIMIT // 2),
    "short lines": b"a b=1\n" * (LIMIT // 6),
    "CBOR arrays": b"\x81" * LIMIT,
    "CBOR arrays without a length": b"\x9f" * LIMIT,
    "CBOR tags": b"\xc6" * LIMIT,
    "CBOR lengths": b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff" * (LIMIT // 9),
    "a CBOR integer": b"\xc2\x5a\x00\x0f\xff\xf0" + b"\xff" * 0xFFFF0,
    "a CBOR text in pieces": b"\x7f" + b"\x61a" * (LIMIT // 2 - 1) + b"\xff",
    "MessagePack arrays": b"\x91" * LIMIT,
    "MessagePack lengths": (b"\xdd\x00\x0f\xff\xff" * 512).ljust(LIMIT, b"\0"),
    "protobuf groups": b"\x0b" * LIMIT,
    "protobuf messages": b"\x12\x00" * (LIMIT // 2),
    "protobuf in protobuf": b"\x12\xff\xff\x3f\x92\x01\xfa\xff\x3f" * (LIMIT // 9),
}


@EVERY
@pytest.mark.parametrize("kind", MEGABYTES)
def test_a_megabyte_of_nonsense(name: str, kind: str) -> None:
    check(PARSERS[name], MEGABYTES[kind])


NESTED: dict[str, Callable[[int], bytes]] = {
    "cbor": lambda depth: b"\x81" * depth + b"\x01",
    "msgpack": lambda depth: b"\x91" * depth + b"\x01",
    "json": lambda depth: b"[" * (depth * 16) + b"]" * (depth * 16),
}


@pytest.mark.parametrize("name", NESTED)
def test_nesting_is_limited(name: str) -> None:
    assert check(PARSERS[name], NESTED[name](64)) == "decoded"
    assert check(PARSERS[name], NESTED[name](65)) == "refused"


@EVERY
def test_a_payload_that_is_too_large_is_refused_before_it_is_parsed(name: str) -> None:
    assert refused(MESSAGES[name][0], bytes(LIMIT + 1)) == (
        f"payload_too_large: payload: {LIMIT + 1} bytes, at most {LIMIT} are allowed"
    )


@pytest.mark.parametrize("packing", [Packing.GZIP, Packing.AUTO])
def test_a_bomb_is_unpacked_no_further_than_allowed(packing: Packing) -> None:
    bomb = gzip.compress(bytes(200 * LIMIT), 9)
    tracemalloc.start()
    try:
        assert refused("json", bomb, (packing,)).startswith("payload_too_large: payload: more than")
        assert tracemalloc.get_traced_memory()[1] < 10 * LIMIT
    finally:
        tracemalloc.stop()


def test_a_bomb_inside_json_is_said_with_its_path() -> None:
    inside = Decode(Text(), path("data"), (Packing.BASE64, Packing.GZIP))
    with pytest.raises(FormatError, match="payload_too_large: data: more than"):
        parser_of(inside, LIMITS)(b'{"data":"%s"}' % base64.b64encode(gzip.compress(bytes(2 * LIMIT))), RECEIVED)


INSIDE = [
    ({"data": "AAo=", "fPort": 7}, {"data": "AAo=", "fPort": 7, "decoded": [0, 10, 7]}),
    ({"data": [0, 10], "fPort": 7}, {"data": [0, 10], "fPort": 7, "decoded": [0, 10, 7]}),
    ({"data": "AAo"}, {"data": "AAo", "decoded": [0, 10, None]}),
    ({"data": ""}, {"data": ""}),
    ({"data": None, "a": 1}, {"data": None, "a": 1}),
    ({"a": 1}, {"a": 1}),
    ([1], [1]),
]


@pytest.mark.parametrize(("outer", "document"), INSIDE)
def test_bytes_inside_json_are_decoded_into_it(outer: Any, document: Any) -> None:
    js = codec("[...input.bytes, input.fPort]", f_port=path("fPort"))
    unpack = () if isinstance(outer, dict) and isinstance(outer.get("data"), list) else (Packing.BASE64,)
    assert parser_of(Decode(js, path("data"), unpack), LIMITS)(json.dumps(outer).encode(), RECEIVED) == document


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b'{"data":7}', "parse_error: data: Input should be a string, or an array of bytes"),
        (b'{"data":[256]}', "parse_error: data: Input should be a string, or an array of bytes"),
        (b'{"data":"A*=="}', "parse_error: data: not Base64: "),
        (b"oops", "parse_error: payload: not JSON: "),
    ],
)
def test_what_is_wrong_with_bytes_inside_json(payload: bytes, reason: str) -> None:
    with pytest.raises(FormatError) as caught:
        parser_of(Decode(CODEC, path("data"), (Packing.BASE64,)), LIMITS)(payload, RECEIVED)
    assert str(caught.value).startswith(reason)


def test_a_format_error_is_poison() -> None:
    assert issubclass(FormatError, Poison)
    assert decoded(FormatName.V1, b'{"schema":"v1"}') == {"schema": "v1"}
