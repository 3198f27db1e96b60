"""Codecs in JavaScript: what they are given, what they give, and the limits on what they use."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tests.support.formats import LIMITS, RECEIVED, codec, decoded, path, refused
from traksense_ingest.shared.mapping.decoding import Decode, Js
from traksense_ingest.writer.decode.formats import FormatError, parser_of

THERMOMETER = """
var scale = 10; // as vendors write them: globals, functions of their own, ES5
function signed(high, low) { var value = high << 8 | low; return value > 32767 ? value - 65536 : value; }
function decodeUplink(input) {
  if (input.fPort === 9) { return {errors: ["unknown port", "9"]}; }
  return {data: {temperature: signed(input.bytes[0], input.bytes[1]) / scale}, warnings: ["battery"]};
}
"""


def test_a_codec() -> None:
    assert decoded(codec(THERMOMETER), b"\xff\x49") == {"temperature": -18.3}


def test_ports_and_variables_come_from_the_outer_document() -> None:
    js = codec("[input.bytes, input.fPort, input.variables]", f_port=path("fPort"), variables=path("vars"))
    parse = parser_of(Decode(js, path("data")), LIMITS)
    assert parse(b'{"data":[1],"fPort":2,"vars":{"a":"b"}}', RECEIVED)["decoded"] == [[1], 2, {"a": "b"}]
    assert parse(b'{"data":[1]}', RECEIVED)["decoded"] == [[1], None, {}]
    with pytest.raises(FormatError, match="parse_error: js: unknown port; 9"):
        parser_of(Decode(codec(THERMOMETER, f_port=path("fPort")), path("data")), LIMITS)(
            b'{"data":[1],"fPort":9}', RECEIVED
        )


@pytest.mark.parametrize(
    ("expression", "document"),
    [
        ("null", None),
        ("[1, 'é', true, undefined]", [1, "é", True, None]),
        ("{a: undefined, n: NaN, i: Infinity}", {"n": None, "i": None}),
        ("new Date(0)", "1970-01-01T00:00:00.000Z"),
        ("typeof require + typeof fetch + typeof std + typeof os", "undefined" * 4),
        ("[3, 1, 2].sort().concat([4]).slice(1).join() + [1, [2]].flat().reverse()", "2,3,42,1"),
    ],
)
def test_results(expression: str, document: Any) -> None:
    assert decoded(codec(expression), b"\0") == document


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("function decodeUplink(i) { return 7 }", "TypeError: decodeUplink should return an object"),
        ("function decodeUplink(i) { return [1] }", "decodeUplink should return an object"),
        ("function decodeUplink(i) { return {} }", "decodeUplink returned neither data nor errors"),
        ("function decodeUplink(i) { return {errors: 'no'} }", "no"),
        ("function decodeUplink(i) { throw new Error('bad\\nbytes') }", "Error: bad"),
        ("function decodeUplink(i) { return i.nothing.more }", "TypeError: cannot read property 'more' of undefined"),
        ("function decodeUplink(i) { throw null }", ""),
        ("function decodeUplink(i) { return {data: 1n} }", "TypeError: "),
        ("function decodeUplink(i) { return {data: '\\ud800'} }", "its result is not JSON: "),
        ("function decodeUplink(i) { let a = {}; a.a = a; return {data: a} }", "TypeError: circular reference"),
    ],
)
def test_what_goes_wrong_in_a_codec(code: str, reason: str) -> None:
    assert refused(codec(code), b"\0").startswith(f"parse_error: js: {reason}")


@pytest.mark.parametrize(
    "expression",
    [
        "(() => { while (true); })()",
        "(() => { while (true) { try { while (true); } catch (e) {} } })()",
        "(() => { let a = []; while (true) a.push(new Array(1000).fill(1)); })()",
        "(() => { let a = 'a'; while (true) a += a; })()",
        "(function f() { return f() + 1; })()",
        "/(a+)+$/.test('a'.repeat(40) + 'b')",
        "new Uint8Array(1e9)",
        "'a'.repeat(1e9)",
        "(() => { let a = []; a.length = 4294967295; return a.join('') })()",
        "(() => { let a = []; a.length = 4294967295; return a.slice() })()",
        "(() => { let a = []; a.length = 4294967295; return String(a) })()",
        "(() => { let a = []; a.length = 4294967295; return a.sort() })()",
        "(() => { let a = []; for (let i = 0; i < 1e6; i++) a = [a]; return a })()",
    ],
)
def test_limits(expression: str) -> None:
    parse = parser_of(Decode(codec(f"input.bytes[0] ? {expression} : 'fine'")), LIMITS)
    for _ in range(2):
        with pytest.raises(FormatError, match="parse_error: js: "):
            parse(b"\1", RECEIVED)
        assert parse(b"\0", RECEIVED) == "fine"


def test_bytes_for_a_codec_are_limited() -> None:
    assert decoded(codec("input.bytes.length"), bytes(64 * 1024)) == 64 * 1024
    assert refused(codec("input.bytes.length"), bytes(64 * 1024 + 1)) == (
        "payload_too_large: payload: 65537 bytes for a codec, at most 65536 are allowed"
    )


def test_variables_that_are_nested_too_deep() -> None:
    parse = parser_of(Decode(codec("1", variables=path("v")), path("data")), LIMITS)
    with pytest.raises(FormatError, match="parse_error: js: fPort or variables: "):
        parse(b'{"data":[1],"v":' + b"[" * 500 + b"]" * 500 + b"}", RECEIVED)


def test_a_codec_that_collects_what_it_saw_is_started_again() -> None:
    """Its memory is full after some messages, each of which is good."""
    code = (
        "var seen = []; function decodeUplink(i) { seen.push(new Array(50000).fill(1.5)); return {data: i.bytes[0]} }"
    )
    parse = parser_of(Decode(codec(code, memory_bytes=2 * 1024 * 1024)), LIMITS)
    assert [parse(bytes([number]), RECEIVED) for number in range(40)] == [*range(40)]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("function decodeUplink(", "codec.js: SyntaxError: "),
        ("function Decoder(bytes, port) {}", "codec.js: it has no function decodeUplink"),
        ("throw new Error('no')", "codec.js: Error: no"),
        ("while (true);", "codec.js: InternalError: interrupted"),
        ("import os from 'os'", "codec.js: SyntaxError: "),
    ],
)
def test_what_does_not_compile(code: str, reason: str) -> None:
    js = Js(code, "codec.js", None, None, 50, 8 * 1024 * 1024)
    with pytest.raises(ValueError, match=reason):
        parser_of(Decode(js), LIMITS)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "quickjs", None)
    with pytest.raises(ValueError, match=r"js needs the extra: pip install 'traksense-ingest\[js\]'"):
        parser_of(Decode(codec("1")), LIMITS)
