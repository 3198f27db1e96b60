"""What decoding version 1 costs is proportional to what was sent: calls are counted, since time is never the same."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from tests.fuzz import target
from tests.support.decoding import v1_routes
from traksense_ingest.writer.entry import parse_entry

SMALL = 8 * 1024  # bytes
DECODER = v1_routes(max_payload_bytes=10**7, max_future_s=86_400, clock=lambda: target.NOW)


def telem(points: str = "", more: str = "") -> str:
    return f'{{"schema":"v1","ts":"2025-10-07T15:30:00Z","points":[{points}]{more}}}'


def repeated(size: int, *units: str) -> str:
    """About so many characters of JSON values, separated by commas."""
    count = size // (sum(map(len, units)) + len(units))
    return ",".join(",".join(units) for _ in range(count))


def numbered(size: int, unit: str) -> str:
    """The same with a number in each."""
    return ",".join(unit % number for number in range(size // (len(unit) + 4)))


def in_meta(member: str) -> str:
    """A message with a member in its meta."""
    return telem(more=f',"meta":{{{member}}}')


def array(member: str) -> str:
    """The member `a` of an object, a list of values."""
    return f'"a":[{member}]'


SHAPES: dict[str, tuple[str, Callable[[int], str]]] = {
    "many points": ("telem", lambda n: telem(numbered(n, '{"name":"p%d","t":"float","v":1.5,"u":"C"}'))),
    "one name": ("telem", lambda n: telem(repeated(n, '{"name":"p","v":1}'))),
    "points of a wrong type": ("telem", lambda n: telem(repeated(n, '{"name":1,"t":{},"u":[]}'))),
    "points of nested nonsense": ("telem", lambda n: telem(repeated(n, '{"t":' + "[" * 100 + "]" * 100 + "}"))),
    "nested to the limit": ("telem", lambda n: in_meta(array(repeated(n, "[" * 150 + "]" * 150)))),
    "nested beyond it": ("telem", lambda n: in_meta('"a":' + "[" * n)),
    "long text": ("telem", lambda n: telem('{"name":"p","v":"' + "x" * n + '"}')),
    "long name": ("telem", lambda n: telem('{"v":1,"name":"' + "x" * n + '"}')),
    "long numbers": ("telem", lambda n: in_meta(array(repeated(n, "9" * 1000)))),
    "one long number": ("telem", lambda n: telem('{"name":"p","v":' + "9" * n + "}")),
    "long fraction of a second": ("telem", lambda n: telem().replace(":00Z", f":00.{'1' * n}Z")),
    "many keys": ("telem", lambda n: in_meta(numbered(n, '"k%d":0'))),
    "one key": ("telem", lambda n: in_meta(repeated(n, '"k":0'))),
    "unknown keys": ("telem", lambda n: telem(more="," + numbered(n, '"k%d":0'))),
    "no schema": ("telem", lambda n: "{" + numbered(n, '"k%d":0') + "}"),
    "a schema elsewhere": ("telem", lambda n: '{"a":{"schema":1},' + numbered(n, '"k%d":0') + "}"),
    "NaN at the end": ("telem", lambda n: in_meta(array(repeated(n, "1") + ",NaN"))),
    "almost NUL": ("telem", lambda n: in_meta(array(repeated(n, r'"\\u0000"', "[[]]")))),
    "NUL at the end": ("event", lambda n: _event(array(repeated(n, "[[0]]")) + r',"b":"\u0000"')),
    "meta beside points": (
        "telem",
        lambda n: telem(numbered(n // 2, '{"name":"p%d","v":1}'), ',"meta":{' + numbered(n // 2, '"k%d":0') + "}"),
    ),
    "an event's content": ("event", lambda n: _event(numbered(n, '"k%d":{"b":[1],"a":2}'))),
    "an ACK with more than jsonb holds": ("ack", lambda n: _ack(repeated(n, r'"k":"\u0000"'))),
    "an ACK with much more": ("ack", lambda n: _ack(numbered(n, '"k%d":[1,{}]'))),
    "an endless topic": ("/" * 10, lambda n: "x" * n),
}


def _event(data: str) -> str:
    return f'{{"schema":"v1","event_type":"e","ts":"2025-10-07T15:30:00Z","data":{{{data}}}}}'


def _ack(more: str) -> str:
    return f'{{"schema":"v1","cmd_id":"c","ok":true,{more}}}'


def calls_to_decode(kind: str, payload: str) -> int:
    """Functions that are called, those of C modules included."""
    topic = b"traksense/t/s/d/" + kind.encode()
    if kind.startswith("/"):
        topic = kind.encode() * len(payload)
    entry = parse_entry("s", target.ID, [b"topic", topic, b"payload", payload.encode()])
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        DECODER.decode(entry)
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("shape", SHAPES)
def test_twice_the_size_is_at_most_twice_the_calls(shape: str) -> None:
    kind, payload = SHAPES[shape]
    for size in (4 * SMALL, SMALL):
        calls_to_decode(kind, payload(size))  # what is done once only, such as names that are not known yet
    once, twice, four_times = (calls_to_decode(kind, payload(size)) for size in (SMALL, 2 * SMALL, 4 * SMALL))
    assert twice <= 2.1 * once + 20
    assert four_times <= 2.1 * twice + 20
    assert four_times <= 3 * len(payload(4 * SMALL)), "a few calls a byte"
