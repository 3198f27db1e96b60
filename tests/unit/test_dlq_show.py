"""`dlq show`: JSON as it was written, arrows to what is wrong, hexdumps, and nothing that a terminal obeys."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.support.dead_letters import TIME, TOPIC, letter
from tests.support.decoding import v1_routes
from traksense_ingest.ops.dlq.dead_letter import DeadLetter
from traksense_ingest.ops.dlq.hexdump import hexdump
from traksense_ingest.ops.dlq.payload import Fault, faults, find, lines, parse, position, wrong_byte
from traksense_ingest.ops.dlq.payload_text import payload_lines
from traksense_ingest.ops.dlq.show import screen
from traksense_ingest.ops.terminal import printable
from traksense_ingest.writer.entry import Entry
from traksense_ingest.writer.outcome import Rejected

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def refused(payload: bytes) -> DeadLetter:
    """With the reason that the decoder gives."""
    outcome = v1_routes(10**6, 86_400).decode(Entry("ingest:{0}", "1767225600000-0", TOPIC.encode(), payload, TIME, 1))
    assert isinstance(outcome, Rejected)
    return letter(payload, outcome.reason)


def test_faults_of_a_reason() -> None:
    assert faults("parse_error: points.1.v: Input should be a valid number") == [
        Fault("points.1.v", "Input should be a valid number")
    ]
    several = "parse_error: ts: Field required; points: Field required; and 2 more"
    assert faults(several) == [Fault("ts", "Field required"), Fault("points", "Field required")]
    assert faults("data_error: value out of range") == []
    assert faults("") == []
    assert position("parse_error: payload: Invalid JSON: expected value at line 3 column 15") == (3, 15)
    assert position("parse_error: ts: Field required") is None
    assert wrong_byte("parse_error: payload: not UTF-8 at byte 17") == 17
    assert wrong_byte("parse_error: plant/up: payload: not UTF-8 at byte 2; it looks like plain text") == 2
    assert wrong_byte("parse_error: payload: wrong") is None
    assert wrong_byte("invalid_topic: topic: not UTF-8 at byte 17") is None


def test_a_path_is_followed_as_far_as_it_goes() -> None:
    value = parse('{"points": [{"v": 1}, {"v": {"a.b": [true]}}], "a": 1}')
    assert find(value, "points.1.v") == ("points", "1", "v")
    assert find(value, "points.1.v.a.b.0") == ("points", "1", "v", "a.b", "0")
    assert find(value, "points.0.name") == ("points", "0"), "what lacks it"
    assert find(value, "points.7") == ("points",)
    assert find(value, "schema") == ()
    assert find(value, "a.b.c") == ("a",)


@given(JSON)
def test_json_is_shown_as_it_is(value: Any) -> None:
    text = json.dumps(value)
    assert json.loads("\n".join(line.text for line in lines(parse(text)))) == value


def test_numbers_and_repeated_keys_stay_as_they_were_written() -> None:
    shown = "".join(
        line.text.strip() for line in lines(parse('{"a": 1.50, "a": 1e400, "b": NaN, "c": ' + "9" * 5000 + "}"))
    )
    assert shown == '{"a": 1.50,"a": 1e400,"b": NaN,"c": ' + "9" * 5000 + "}"


def pointed(of: DeadLetter) -> list[str]:
    return [line.strip() for line in payload_lines(of, full=False) if "◀" in line]


@pytest.mark.parametrize(
    ("payload", "arrow"),
    [
        (b'{"schema":"v1","ts":"x","points":[]}', '"ts": "x",   ◀ here: ts: '),
        (
            b'{"schema":"v1","ts":"2026-01-01T00:00:00Z","points":[{"name":"a"}]}',
            "{   ◀ here: points.0.v: Field required",
        ),
        (b'{"schema":"v2","ts":"2026-01-01T00:00:00Z","points":[]}', '"schema": "v2",   ◀ here: schema: '),
        (b'{"di1":5,"ts":"2026-01-01T00:00:00Z"}', '"di1": 5,   ◀ here: di1: '),
        (b'{"schema":"v1","ts":"2099-01-01T00:00:00Z","points":[]}', '"ts": "2099-01-01T00:00:00Z",   ◀ here: ts: '),
        (b"[1]", "[   ◀ here: payload: "),
        (b'{"other":1}', "{   ◀ here: schema: missing"),
    ],
)
def test_an_arrow_where_the_decoder_says_that_it_is_wrong(payload: bytes, arrow: str) -> None:
    (line,) = pointed(refused(payload))
    assert line.startswith(arrow)


def test_what_is_packed_is_shown_unpacked() -> None:
    payload = gzip.compress(b'\xef\xbb\xbf{"schema":"v1","ts":"x","points":[]}\0')
    (line,) = pointed(refused(payload))
    assert line.startswith('"ts": "x",   ◀ here: ts: ')
    shown = list(screen(refused(payload), full=False))
    assert f"\npayload, {len(payload)} bytes, gzip" in shown
    assert any("1f8b 08" in line for line in shown)


def test_several_arrows() -> None:
    bad = b'{"schema":"v1","ts":"x","points":[{"name":1,"v":2}]}'
    assert len(pointed(refused(bad))) == 2


@pytest.mark.parametrize(
    ("payload", "at"),
    [
        (b'{"ts": oops}', "oops}"),
        ('{"é😀漢": oops'.encode(), "oops"),
        (b'{\n\n "a":\n  oops', "oops"),
        (b'{"a": "' + b"x" * 500 + b'" oops}', "oops}"),
    ],
)
def test_a_caret_where_the_text_stops_being_json(payload: bytes, at: str) -> None:
    shown = list(payload_lines(refused(payload), full=False))
    caret = next(index for index, line in enumerate(shown) if line.endswith("^ here"))
    cells, before = shown[caret].index("^"), ""
    for char in shown[caret - 1]:
        if cell_len(before) >= cells:
            break
        before += char
    assert shown[caret - 1].removeprefix(before).startswith(at)
    assert len(shown[caret - 1]) <= 80


def test_a_long_payload_is_shown_in_part_and_its_arrow_is_in_it() -> None:
    points = [{"name": f"p{index}", "v": "x" if index == 700 else 1, "t": "num"} for index in range(1000)]
    payload = json.dumps({"schema": "v1", "ts": "2026-01-01T00:00:00Z", "points": points}).encode()
    shown = list(screen(refused(payload), full=False))
    assert len(shown) < 70
    assert sum("◀ here: points.700.v" in line for line in shown) == 1
    assert any(line.endswith("--full") for line in shown)
    full = list(screen(refused(payload), full=True))
    assert len(full) > 5000
    assert not any(line.endswith("--full") for line in full)


@pytest.mark.parametrize(
    "payload", [b"[" * 100_000, b'{"a":' * 900 + b"1" + b"}" * 900, b" ", b"\n" * 1000, b"\xff" * 100]
)
def test_whatever_it_is_it_can_be_shown(payload: bytes) -> None:
    for full in (False, True):
        "\n".join(screen(refused(payload), full=full)).encode()


@given(st.binary(max_size=200))
def test_any_bytes_can_be_shown(payload: bytes) -> None:
    for line in screen(letter(payload, "parse_error: payload: Invalid JSON: x at line 2 column 9"), full=False):
        line.encode()
        assert line.lstrip("\n").isprintable()


def test_a_hexdump_is_xxds() -> None:
    assert list(hexdump(bytes(range(60, 80)))) == [
        "00000000: 3c3d 3e3f 4041 4243 4445 4647 4849 4a4b  <=>?@ABCDEFGHIJK",
        "00000010: 4c4d 4e4f                                LMNO",
    ]
    assert list(hexdump(b"")) == []
    assert list(hexdump(b"\x00\x7f\xff")) == ["00000000: 007f ff                                  ..."]


def test_a_hexdump_is_bounded_and_has_the_byte_that_is_pointed_at() -> None:
    shown = list(hexdump(bytes(10_000), lines=8, mark=5000))
    assert shown[0] == "… 4928 bytes before"
    assert [line.partition("◀")[2] for line in shown if "◀" in line] == [" byte 5000"]
    assert shown[-1] == f"… {10_000 - 4928 - 128} bytes more: --full"
    assert len(list(hexdump(bytes(10_000), lines=8))) == 9


def test_what_a_terminal_would_obey_is_escaped() -> None:
    assert printable("\x1b[2J\u202eé\x9b\ud800 ok") == r"\x1b[2J\u202eé\x9b\ud800 ok"
