"""Whatever bytes come: rows or a dead letter, never an exception, never a value that PostgreSQL can't hold."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import target
from tests.support.budget import examples
from tests.support.decoding import v1_routes
from tests.support.hostile import anything, kinds, messages
from tests.support.rows import points_in
from tests.support.storable import check_storable
from traksense_ingest.writer.entry import parse_entry
from traksense_ingest.writer.outcome import Decoded, Outcome, Rejected
from traksense_ingest.writer.store.dead_letter import READABLE_MAX, dead_letter_row

MIB = 1024 * 1024
TS = '"ts":"2025-10-07T15:30:00Z"'


def decode(payload: bytes, kind: str = "telem") -> Outcome:
    return target.decode(f"traksense/t/s/d/{kind}".encode(), payload)


@given(st.binary(), kinds)
def test_any_bytes(payload: bytes, kind: str) -> None:
    check_storable(decode(payload, kind))


@given(anything, kinds)
def test_any_json(value: object, kind: str) -> None:
    check_storable(decode(json.dumps(value).encode(), kind))


@settings(max_examples=examples(500))
@given(messages)
def test_messages_that_are_nearly_right(message: tuple[str, bytes]) -> None:
    kind, payload = message
    check_storable(decode(payload, kind))


@given(
    st.binary()
    | st.lists(st.text(max_size=130), min_size=3, max_size=6).map(
        lambda names: "/".join(names).encode(errors="replace")
    )
)
def test_any_topic(topic: bytes) -> None:
    check_storable(target.decode(topic, b"{}"))
    check_storable(target.decode(b"traksense/" + topic + b"/telem", b"{}"))


@given(
    st.text(alphabet="0123456789-+:.TZtz ", max_size=32)
    | st.tuples(
        st.sampled_from(["0001-01-01", "2000-01-01", "2016-12-31", "9999-12-31", "2025-02-29"]),
        st.sampled_from(["00:00:00", "00:00:60", "23:59:59", "23:59:60", "24:00:00", "23:60:60"]),
        st.sampled_from(["", ".9", ".9999999", "." + "0" * 5000]),
        st.sampled_from(["Z", "z", "+00:00", "-23:59", "+23:59", "+24:00", ""]),
    ).map(lambda parts: "{}T{}{}{}".format(*parts))
)
def test_any_text_as_a_timestamp(text: str) -> None:
    for kind, field in (("telem", "ts"), ("ack", "ts_exec"), ("event", "ts")):
        message = {"schema": "v1", "points": [{"name": "p", "v": 1}], "cmd_id": "c", "ok": True, "event_type": "e"}
        outcome = decode(json.dumps(message | {field: text}).encode(), kind)
        check_storable(outcome)
        if isinstance(outcome, Decoded) and outcome.ts:
            assert datetime(2000, 1, 1, tzinfo=UTC) <= outcome.ts


@given(st.lists(st.binary()).filter(lambda fields: len(fields) % 2 == 0), st.integers(0, 2**64), st.integers(0, 2**64))
def test_any_entry_added_by_hand(fields: list[bytes], ms: int, sequence: int) -> None:
    check_storable(target.DECODER.decode(parse_entry("s", b"%d-%d" % (ms, sequence), fields)))


def test_nesting_costs_nothing() -> None:
    for text in ("[" * 50_000, '{"a":' * 15_000, '{"schema":"v1","meta":' + "[" * 50_000):
        assert isinstance(decode(text.encode()), Rejected)


@pytest.mark.parametrize(
    "payload",
    [
        b"\xff" * MIB,
        b"\0" * MIB,
        b"[" * MIB,
        b'"' + b"\\ud800" * (MIB // 6) + b'"',
        f'{{"schema":"v1",{TS},"points":[{{"name":"p","v":{"9" * MIB}}}]}}'.encode(),
        f'{{"schema":"v1",{TS},"points":[{{"name":"{"x" * MIB}","v":1}}]}}'.encode(),
        f'{{"schema":"v1",{TS},"points":[{",".join(["{}"] * 10_000)}]}}'.encode(),
        f'{{"schema":"v1",{TS},"points":[{",".join(["{}"] * 10_001)}]}}'.encode(),
    ],
    ids=["not text", "NUL", "nested", "surrogates", "digits", "name", "points that are empty", "10 001 points"],
)
def test_a_megabyte_of_nonsense_is_one_dead_letter(payload: bytes) -> None:
    outcome = v1_routes(2 * MIB, 86_400, lambda: target.NOW).decode(
        parse_entry("s", target.ID, [b"topic", b"traksense/t/s/d/telem", b"payload", payload])
    )
    assert isinstance(outcome, Rejected)
    check_storable(outcome)
    row = dead_letter_row(outcome)
    assert len(row.reason) < 1000
    assert row.payload_raw is None or len(row.payload) <= READABLE_MAX, "the row is no larger than the payload"


def test_ten_thousand_points_and_a_megabyte_of_text_are_rows() -> None:
    points = ",".join(f'{{"name":"p{number}","v":{number}}}' for number in range(10_000))
    for rows, text in ((10_000, points), (1, f'{{"name":"p","v":"{"x" * MIB}"}}')):
        outcome = v1_routes(2 * MIB, 86_400, lambda: target.NOW).decode(
            parse_entry(
                "s",
                target.ID,
                [b"topic", b"traksense/t/s/d/telem", b"payload", f'{{"schema":"v1",{TS},"points":[{text}]}}'.encode()],
            )
        )
        check_storable(outcome)
        assert isinstance(outcome, Decoded)
        assert len(points_in(outcome)) == rows


@pytest.mark.parametrize("path", sorted(target.CORPUS.iterdir()), ids=lambda path: path.name)
def test_what_was_found_once(path: Path) -> None:
    target.check(path.read_bytes())


@pytest.mark.parametrize(
    ("name", "data"), list(target.seeds()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_known_cases_are_seeds_that_pass(name: str, data: bytes) -> None:
    target.check(data)
