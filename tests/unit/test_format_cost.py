"""What a format costs is proportional to what was sent: function calls are counted, since time is never the same."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from tests.support.formats import MESSAGES, RECEIVED, sparkplug
from traksense_ingest.shared.mapping.decoding import Decode
from traksense_ingest.writer.decode.formats import FormatError, FormatLimits, parser_of

SMALL = 4 * 1024  # bytes
LIMITS = FormatLimits(10**7)

SHAPES: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "SenML records": ("senml", lambda n: b"[" + b'{"n":"a","v":1,"t":1},' * (n // 22) + b'{"bn":"a"}]'),
    "SenML base names": ("senml", lambda n: b"[" + b'{"bn":"a_","n":"a"},' * (n // 20) + b'{"bn":"a"}]'),
    "SenML, a long base name": ("senml", lambda n: b'[{"bn":"' + b"_" * n + b'"}]'),
    "lines": ("line_protocol", lambda n: b"a,b=c d=1 5\n" * (n // 12)),
    "tags": ("line_protocol", lambda n: b"a" + b",b=c" * (n // 4) + b" d=1"),
    "fields": ("line_protocol", lambda n: b"a d=1" + b',d="\\""' * (n // 7)),
    "escapes": ("line_protocol", lambda n: b"\\ " * (n // 2) + b" d=1"),
    "backslashes": ("line_protocol", lambda n: b"\\" * n),
    "comments": ("line_protocol", lambda n: b"#\n" * (n // 2)),
    "metrics": ("sparkplug_b", lambda n: sparkplug([{"name": "a", "int_value": 1}] * (n // 7))),
    "empty metrics": ("sparkplug_b", lambda n: b"\x12\x00" * (n // 2)),
    "data points": (
        "otlp_json",
        lambda n: (
            b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"a","gauge":{"dataPoints":['
            + b'{"asInt":"1"},' * (n // 14)
            + b"{}]}}]}]}]}"
        ),
    ),
    "CBOR items": ("cbor", lambda n: b"\x9f" + b"\x61a" * (n // 2) + b"\xff"),
    "CBOR pieces": ("cbor", lambda n: b"\x7f" + b"\x61a" * (n // 2) + b"\xff"),
    "CBOR lengths": ("cbor", lambda n: b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff" * (n // 9)),
    "MessagePack items": ("msgpack", lambda n: b"\xdc" + (n // 2).to_bytes(2, "big") + b"\xa1a" * (n // 2)),
    "unknown bytes": ("tlv", lambda n: b"\x00\x67\x01\x02" * (n // 4)),
}


def calls(name: str, payload: bytes) -> int:
    """How many functions are called, of Python and of C."""
    parse, count = parser_of(Decode(MESSAGES[name][0]), LIMITS), 0

    def counted(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        with suppress(FormatError):
            parse(payload, RECEIVED)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("shape", SHAPES)
def test_calls_grow_no_faster_than_the_payload(shape: str) -> None:
    name, make = SHAPES[shape]
    small, large = calls(name, make(SMALL)), calls(name, make(4 * SMALL))
    assert large <= 4 * small + 20
