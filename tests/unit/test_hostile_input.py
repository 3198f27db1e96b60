"""Whatever bytes come: rows or a dead letter, never an exception, never a value that PostgreSQL can't hold."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from writer.dead_letter import dead_letter_row
from writer.decode import Decoder
from writer.entry import parse_entry
from writer.outcome import Decoded, Outcome, Rejected

NOW = datetime(2025, 10, 7, 16, 0, tzinfo=UTC)
DECODER = Decoder(max_payload_bytes=100_000, max_future_s=86_400, clock=lambda: NOW)

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["v1", "RUN", "\0", ""])
anything = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)
timestamps = st.sampled_from(["2025-10-07T15:30:00Z", "2025-10-07", "9999-12-31T23:59:59-23:59"]) | anything
kinds = st.sampled_from(["telem", "ack", "event", "other"])


def often(right: Any) -> st.SearchStrategy[Any]:
    """Nearly right is more interesting than random."""
    return st.just(right) | st.just(right) | anything


points = st.lists(
    st.fixed_dictionaries(
        {"name": often("p"), "v": anything},
        optional={"t": st.sampled_from(["float", "int", "bool", "enum", "text", "x"]) | anything, "u": often("°C")},
    ),
    max_size=4,
)
telem = st.fixed_dictionaries(
    {"schema": often("v1"), "ts": timestamps, "points": points | anything}, optional={"meta": anything}
)
parsec = st.fixed_dictionaries(
    {"ts": timestamps}, optional={"di1": anything, "di2": often(1), "rssi": anything, "fw": anything}
)
ack = st.fixed_dictionaries(
    {"schema": often("v1"), "cmd_id": often("c"), "ok": often(True)},
    optional={"ts_exec": timestamps, "err": anything, "more": anything},
)
event = st.fixed_dictionaries(
    {"schema": often("v1"), "event_type": often("boot"), "ts": timestamps},
    optional={"event_id": anything, "data": anything},
)


def decode(payload: bytes, kind: str = "telem", topic: bytes | None = None) -> Outcome:
    where = topic if topic is not None else f"traksense/t/s/d/{kind}".encode()
    outcome = DECODER.decode(parse_entry("s", b"1-0", [b"topic", where, b"payload", payload]))
    assert isinstance(outcome, Decoded | Rejected), outcome
    return outcome


def check_storable(outcome: Outcome) -> None:
    """No NUL, no lone surrogate, no number that isn't one: PostgreSQL refuses nothing of it."""
    if isinstance(outcome, Rejected):
        row = dead_letter_row(outcome)
        assert outcome.reason.startswith(f"{outcome.error_class}: ")
        assert row.payload_raw == outcome.entry.payload or row.payload.encode() == outcome.entry.payload
        values: list[object] = [value for value in row if value is not row.payload_raw]
    else:
        assert isinstance(outcome, Decoded)
        rows = [*outcome.measures, *filter(None, (outcome.ack, outcome.event, outcome.device))]
        values = [value for row in rows for value in row]
        check_columns(outcome)
    for value in values:
        if isinstance(value, str):
            assert "\0" not in value
            value.encode()


def check_columns(outcome: Decoded) -> None:
    for measure in outcome.measures:
        filled = [value for value in (measure.v_num, measure.v_bool, measure.v_text) if value is not None]
        assert len(filled) <= 1
        assert measure.v_num is None or math.isfinite(measure.v_num)
        assert measure.meta is None or json.loads(measure.meta, parse_constant=AssertionError)
    names = [measure.point_id for measure in outcome.measures]
    assert len(set(names)) == len(names)


@given(st.binary(), kinds)
def test_any_bytes(payload: bytes, kind: str) -> None:
    check_storable(decode(payload, kind))


@given(anything, kinds)
def test_any_json(value: object, kind: str) -> None:
    check_storable(decode(json.dumps(value).encode(), kind))


@settings(max_examples=500)
@given(telem | parsec)
def test_telemetry_that_is_nearly_right(message: object) -> None:
    check_storable(decode(json.dumps(message).encode()))


@given(ack)
def test_acks_that_are_nearly_right(message: object) -> None:
    check_storable(decode(json.dumps(message).encode(), "ack"))


@given(event)
def test_events_that_are_nearly_right(message: object) -> None:
    check_storable(decode(json.dumps(message).encode(), "event"))


@given(
    st.binary()
    | st.lists(st.text(max_size=130), min_size=3, max_size=6).map(
        lambda names: "/".join(names).encode(errors="replace")
    )
)
def test_any_topic(topic: bytes) -> None:
    check_storable(decode(b"{}", topic=topic))
    check_storable(decode(b"{}", topic=b"traksense/" + topic + b"/telem"))


@given(st.text(alphabet="0123456789-+:.TZtz ", max_size=32))
def test_any_text_as_a_timestamp(text: str) -> None:
    outcome = decode(json.dumps({"schema": "v1", "ts": text, "points": [{"name": "p", "v": 1}]}).encode())
    check_storable(outcome)
    if isinstance(outcome, Decoded):
        assert datetime(2000, 1, 1, tzinfo=UTC) <= outcome.measures[0].ts


@given(st.lists(st.binary()).filter(lambda fields: len(fields) % 2 == 0), st.integers(0, 2**64), st.integers(0, 2**64))
def test_any_entry_added_by_hand(fields: list[bytes], ms: int, sequence: int) -> None:
    entry = parse_entry("s", b"%d-%d" % (ms, sequence), fields)
    outcome = DECODER.decode(entry)
    assert isinstance(outcome, Decoded | Rejected)
    check_storable(outcome)


def test_nesting_costs_nothing() -> None:
    for text in ("[" * 50_000, '{"a":' * 15_000, '{"schema":"v1","meta":' + "[" * 50_000):
        assert isinstance(decode(text.encode()), Rejected)
