"""What a message can cost: time in proportion to its size, and no more rows than a limit."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import pytest

from tests.support import mapped
from tests.support.mapped import entry, reason_of, rows_of
from traksense_ingest.writer.decode.mapped.scope import BYTES_MAX, ROWS_MAX, VALUES_MAX

SMALL = 4 * 1024  # bytes

EACH = mapped.points('- {each: "a[*]", name: "{.n}", value: v, unit: "{.u}"}')
LEAVES = mapped.points("- {leaves: ., except: ['*x']}")
RECORDS = mapped.points("- {each: v}", more='records: "a[*]"')
STARS = mapped.points("- {leaves: ., except: ['*a*a*a*a*b']}")


def numbered(size: int, unit: str) -> str:
    return ",".join(unit % number for number in range(size // len(unit)))


SHAPES: dict[str, tuple[mapped.Decoding, Callable[[int], str]]] = {
    "each": (EACH, lambda n: '{"a":[' + numbered(n, '{"n":"p%d","v":1.5,"u":"C"}') + "]}"),
    "each, units": (EACH, lambda n: '{"a":[' + numbered(n, '{"n":"p","v":1,"u":"u%d"}') + "]}"),
    "leaves": (LEAVES, lambda n: "{" + numbered(n, '"k%d":{"a":[1.5,true]}') + "}"),
    "deep": (LEAVES, lambda n: '{"a":' * (n // 80) + "1" + "}" * (n // 80)),
    "excluded": (LEAVES, lambda n: "{" + numbered(n, '"k%dx":1') + "}"),
    "records": (RECORDS, lambda n: '{"a":[' + numbered(n, '{"v":{"p%d":1}}') + "]}"),
    "stars": (STARS, lambda n: '{"' + "a" * n + '":1}'),
    "long name": (LEAVES, lambda n: '{"' + "k" * n + '":1}'),
    "not JSON": (LEAVES, lambda n: "[" * n),
}


def calls_to_decode(decoding: mapped.Decoding, payload: str) -> int:
    """Functions that are called, those of C modules included."""
    message, calls = entry("t/d", payload), 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        decoding.routes.decode(message)
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("shape", SHAPES)
def test_twice_the_size_is_at_most_twice_the_calls(shape: str) -> None:
    decoding, payload = SHAPES[shape]
    for size in (4 * SMALL, SMALL):
        calls_to_decode(decoding, payload(size))  # what is done once only
    once, twice, four_times = (calls_to_decode(decoding, payload(size)) for size in (SMALL, 2 * SMALL, 4 * SMALL))
    assert twice <= 2.1 * once + 20
    assert four_times <= 2.1 * twice + 20


def test_a_hostile_name_does_not_make_a_star_slow() -> None:
    """Backtracking would take more than the age of the universe."""
    assert "should have 1 to 256 characters" in reason_of(STARS.outcome("t/d", json.dumps({"a" * 100_000: 1})))


@pytest.mark.long
def test_more_rows_than_the_limit() -> None:
    own = mapped.points("- {leaves: ., numbers_in_text: true}")
    just = own.outcome("t/d", "[" + ",".join(["1"] * ROWS_MAX) + "]")
    assert len(rows_of(just)) == ROWS_MAX
    more = own.outcome("t/d", "[" + ",".join(["1"] * (ROWS_MAX + 1)) + "]")
    assert reason_of(more) == f"payload_too_large: payload: more than {ROWS_MAX} rows"


@pytest.mark.long
def test_more_rows_with_a_time_of_their_own_than_the_limit() -> None:
    own = mapped.points("- {leaves: a, time: {path: $.ts, format: unix}}")
    payloads = (f'{{"ts": 1795881600, "a": [{",".join(["1"] * count)}]}}' for count in (ROWS_MAX, ROWS_MAX + 1))
    just, more = (own.outcome("t/d", payload) for payload in payloads)
    assert len(rows_of(just)) == ROWS_MAX
    assert reason_of(more) == f"payload_too_large: payload: more than {ROWS_MAX} rows"


def test_a_reading_that_comes_twice_counts_once() -> None:
    """More than half of ROWS_MAX, as many as fit into a message."""
    own = mapped.points("- {each: a, value: v, name: x, time: {path: $.ts, format: unix}}")
    for count in (1, 101_000):  # the second time the name is known
        items = ",".join(['{"v":1.5}'] * count)
        assert len(rows_of(own.outcome("t/d", f'{{"ts": 1795881600, "a": [{items}]}}'))) == 1


def test_records_times_items_of_the_message_are_bounded() -> None:
    own = mapped.points('- {each: "$.b[*]", name: x, only: {never: 1}}', more='records: "a[*]"')
    payload = json.dumps({"a": [1] * 30_000, "b": [1] * 30_000})
    assert reason_of(own.outcome("t/d", payload)).startswith(
        f"payload_too_large: payload: more than {VALUES_MAX} values"
    )


@pytest.mark.parametrize(
    ("more", "point"),
    [
        ('records: "a[*]"\nmeta: {all: $.text}', "- {path: ., name: x}"),
        ('records: "a[*]"', "- {path: $.text, name: x}"),
    ],
)
def test_what_is_repeated_in_each_row_is_bounded(more: str, point: str) -> None:
    text = "x" * 500_000
    own = mapped.points(point, more=more)
    few = own.outcome("t/d", json.dumps({"a": [1] * (BYTES_MAX // 500_000 - 1), "text": text}))
    assert len(rows_of(few)) == BYTES_MAX // 500_000 - 1
    many = own.outcome("t/d", json.dumps({"a": [1] * (BYTES_MAX // 500_000 + 1), "text": text}))
    assert reason_of(many).startswith("payload_too_large: ")


def test_nested_as_deeply_as_json_goes() -> None:
    deep = '{"k":' * 1000 + "1" + "}" * 1000
    assert "more than 4096 characters" in reason_of(
        mapped.points("- {leaves: .}").outcome("t/d", deep.replace('"k"', '"kkkkkkkk"'))
    )
    own = mapped.points("- {path: v}", more="meta: {deep: deep}")
    outcome = own.outcome("t/d", '{"v": 1, "deep": ' + deep + "}")
    assert reason_of(outcome) == "parse_error: test/r: meta: is nested too deeply"


def test_a_payload_larger_than_is_allowed() -> None:
    own = mapped.Decoding(mapped.mappings(), max_payload_bytes=100)
    assert reason_of(own.outcome("traksense/t/s/d/telem", "[" * 101)).startswith(
        "payload_too_large: payload: 101 bytes"
    )
