"""An entry → rows or a reason. What the cases of `tests/cases` don't say, the rules of the payload formats do."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from writer.decode import Decoder
from writer.entry import Entry, parse_entry
from writer.outcome import Decoded, Rejected

NOW = datetime(2025, 10, 7, 16, 0, tzinfo=UTC)
TS = "2025-10-07T15:30:00Z"
DECODER = Decoder(max_payload_bytes=10_000, max_future_s=86_400, clock=lambda: NOW)


def entry(payload: bytes | str, kind: str = "telem", device: str = "dev") -> Entry:
    raw = payload if isinstance(payload, bytes) else payload.encode()
    topic = f"traksense/t/site/{device}/{kind}".encode()
    return parse_entry(
        "ingest:{0}", b"1759851000000-7", [b"topic", topic, b"payload", raw, b"received_at", b"1759851000123"]
    )


def v1(*points: dict[str, Any], ts: object = TS, **more: object) -> str:
    return json.dumps({"schema": "v1", "ts": ts, "points": points} | more)


def decoded(payload: bytes | str, kind: str = "telem") -> Decoded:
    outcome = DECODER.decode(entry(payload, kind))
    assert isinstance(outcome, Decoded), outcome
    return outcome


def reason(payload: bytes | str, kind: str = "telem") -> str:
    outcome = DECODER.decode(entry(payload, kind))
    assert isinstance(outcome, Rejected), outcome
    assert outcome.reason.startswith(outcome.error_class + ": ")
    return outcome.reason


@pytest.mark.parametrize(
    ("point", "columns"),
    [
        ({"t": "float", "v": 7}, (7.0, None, None)),
        ({"t": "int", "v": -3}, (-3.0, None, None)),
        ({"t": "num", "v": 1e-300}, (1e-300, None, None)),
        ({"t": "bool", "v": 0}, (None, False, None)),
        ({"t": "bool", "v": True}, (None, True, None)),
        ({"t": "enum", "v": "RUN"}, (None, None, "RUN")),
        ({"t": "text", "v": ""}, (None, None, "")),
        ({"t": "string", "v": "ação"}, (None, None, "ação")),
        ({"v": True}, (None, True, None)),
        ({"v": 0}, (0.0, None, None)),
        ({"v": "0"}, (None, None, "0")),
        ({"t": None, "v": 1.5}, (1.5, None, None)),
        ({"t": "bool", "v": None}, (None, None, None)),
        ({"v": None}, (None, None, None)),
    ],
)
def test_a_value_goes_to_the_one_column_of_its_type(point: dict[str, Any], columns: tuple[object, ...]) -> None:
    (row,) = decoded(v1({"name": "p"} | point)).measures
    assert (row.v_num, row.v_bool, row.v_text) == columns
    assert [type(value) for value in (row.v_num, row.v_bool, row.v_text)] == [type(value) for value in columns]


@pytest.mark.parametrize(
    ("point", "where"),
    [
        ({"t": "float", "v": "7"}, "points.1.v: Input should be a valid number"),
        ({"t": "int", "v": False}, "points.1.v: Input should be a valid number"),
        ({"t": "num", "v": [1]}, "points.1.v: Input should be a valid number"),
        ({"t": "num", "v": 10**400}, "points.1.v: Input should be a finite number"),
        ({"t": "bool", "v": 2}, "points.1.v: Input should be true, false, 0 or 1"),
        ({"t": "bool", "v": "true"}, "points.1.v: Input should be true, false, 0 or 1"),
        ({"t": "enum", "v": 1}, "points.1.v: Input should be a valid string"),
        ({"t": "text", "v": True}, "points.1.v: Input should be a valid string"),
        ({"v": {}}, "points.1.v: Input should be a number, a boolean or a string"),
        ({"t": "double", "v": 1}, "points.1.t: Input should be 'float', 'num'"),
        ({}, "points.1.v: Field required"),
        ({"v": 1, "name": ""}, "points.1.name: String should have at least 1 character"),
        ({"v": 1, "name": "x" * 257}, "points.1.name: String should have at most 256 characters"),
        ({"v": 1, "name": 5}, "points.1.name: Input should be a valid string"),
        ({"v": 1, "u": "x" * 65}, "points.1.u: String should have at most 64 characters"),
        ({"v": 1, "name": "a\0b"}, "points.1.name: should not contain the NUL character"),
        ({"v": 1, "u": "\0"}, "points.1.u: should not contain the NUL character"),
    ],
)
def test_a_bad_point_is_poison_with_its_place(point: dict[str, Any], where: str) -> None:
    good = {"name": "good", "v": 1}
    assert reason(v1(good, {"name": "p"} | point)).startswith(f"parse_error: {where}")


@pytest.mark.parametrize(
    ("ts", "moment"),
    [
        ("2025-10-07T15:30:00Z", datetime(2025, 10, 7, 15, 30, tzinfo=UTC)),
        ("2025-10-07t15:30:00z", datetime(2025, 10, 7, 15, 30, tzinfo=UTC)),
        ("2025-10-07T15:30:00.5+00:00", datetime(2025, 10, 7, 15, 30, 0, 500_000, tzinfo=UTC)),
        ("2025-10-07T15:30:00.123456789Z", datetime(2025, 10, 7, 15, 30, 0, 123_456, tzinfo=UTC)),
        ("2025-10-08T01:00:00+09:30", datetime(2025, 10, 7, 15, 30, tzinfo=UTC)),
        ("2000-01-01T00:00:00Z", datetime(2000, 1, 1, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2016-12-31T20:59:60.25-03:00", datetime(2017, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC)),
        ("2025-10-08T16:00:00Z", NOW + timedelta(days=1)),
    ],
)
def test_timestamps_are_rfc_3339(ts: str, moment: datetime) -> None:
    assert decoded(v1({"name": "p", "v": 1}, ts=ts)).measures[0].ts == moment


@pytest.mark.parametrize(
    "ts",
    [
        "2025-10-07T15:30:00",
        "2025-10-07T15:30Z",
        "2025-10-07",
        "20251007T153000Z",
        "2025-10-07T15:30:00+0300",
        "2025-10-07T15:30:00+03",
        "2025-10-07T15:30:00.Z",
        "2025-02-30T15:30:00Z",
        "2025-10-07T24:00:00Z",
        "2025-10-07T15:30:60Z",
        "2025-10-07T15:30:00Z ",
        "٢٠٢٥-10-07T15:30:00Z",
        "1759851000",
        1759851000,
        1759851000.5,
        None,
        True,
        "",
    ],
)
def test_anything_else_is_not_a_timestamp(ts: object) -> None:
    assert reason(v1({"name": "p", "v": 1}, ts=ts)).startswith("parse_error: ts: Input should be")


@pytest.mark.parametrize(
    "ts",
    [
        "1999-12-31T23:59:59.999999Z",
        "2025-10-08T16:00:00.000001Z",
        "9999-12-31T23:59:59-05:00",
        "0001-01-01T00:00:00+05:00",
    ],
)
@pytest.mark.parametrize("kind", ["telem", "ack", "event"])
def test_a_time_that_no_device_means_is_out_of_range(ts: str, kind: str) -> None:
    payloads = {
        "telem": v1(ts=ts),
        "ack": json.dumps({"schema": "v1", "cmd_id": "c", "ok": True, "ts_exec": ts}),
        "event": json.dumps({"schema": "v1", "event_type": "boot", "ts": ts}),
    }
    assert reason(payloads[kind], kind).startswith("out_of_range: ts")


@pytest.mark.parametrize(
    ("payload", "where"),
    [
        (b"", "payload: Invalid JSON"),
        (b"[]", "payload: Input should be"),
        (b"3", "payload: Input should be"),
        (b"null", "payload: Input should be"),
        (b"\xff", "payload: not UTF-8 at byte 0"),
        (v1().encode() + b"}", "payload: Invalid JSON"),
        (b"\xef\xbb\xbf" + v1().encode(), "payload: Invalid JSON"),
        (v1(seq=float("nan")), "payload: Invalid JSON: NaN is not a JSON number"),
        (v1(seq=float("-inf")), "payload: Invalid JSON: -Infinity is not a JSON number"),
        (v1(meta={"a": "\0"}), "meta: should not contain the NUL character"),
        (v1(meta={"\0": 1}), "meta: should not contain the NUL character"),
        (v1(meta=[]), "meta: Input should be"),
        ('{"schema":"v1","ts":"2025-10-07T15:30:00Z","points":[],"meta":{"a":1e999}}', "meta: "),
        ('{"schema":"v1","ts":"2025-10-07T15:30:00Z","points":[{"name":"\\ud800","v":1}]}', "payload: Invalid JSON"),
        (json.dumps({"schema": "v2", "ts": TS, "points": []}), "schema: Input should be 'v1'"),
        (json.dumps({"schema": None, "ts": TS, "points": []}), "schema: Input should be 'v1'"),
        (json.dumps({"points": [{"name": "schema", "v": 1}], "ts": TS}), "schema: missing"),
        (json.dumps({"schema": "v1", "ts": TS, "points": [{"name": "p", "v": 1}] * 10_001}), "points: "),
    ],
)
def test_what_is_not_our_json_is_poison_with_its_place(payload: bytes | str, where: str) -> None:
    decoder = Decoder(max_payload_bytes=10**6, max_future_s=0, clock=lambda: NOW)
    outcome = decoder.decode(entry(payload))
    assert isinstance(outcome, Rejected)
    assert outcome.reason.startswith(f"parse_error: {where}")


def test_constants_that_only_look_like_numbers_are_fine_in_text() -> None:
    (row,) = decoded(v1({"name": "p", "v": "NaN or Infinity"})).measures
    assert row.v_text == "NaN or Infinity"


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    (row,) = decoded(v1({"name": "p", "v": "\\u0000"}, meta={"a": "\\u0000"})).measures
    assert row.v_text == "\\u0000"


def test_all_that_is_wrong_is_said_up_to_five_places() -> None:
    text = reason(v1({"name": "", "t": "x", "u": 1}, ts="x", meta=1, schema="v2"))
    assert text.count(": Input should be") == 3
    assert "; points.0.v: Field required" in text
    assert text.endswith("; and 2 more")


def test_of_points_that_are_wrong_the_first_is_named() -> None:
    text = reason(v1({"name": "a", "v": 1}, *[{"name": "", "v": 1}] * 7))
    assert text == "parse_error: points.1.name: String should have at least 1 character"


def test_the_first_of_a_name_is_stored_and_the_rest_are_counted() -> None:
    outcome = decoded(v1({"name": "a", "v": 1}, {"name": "b", "v": 2}, {"name": "a", "v": 3}, {"name": "a", "v": "x"}))
    assert [(row.point_id, row.v_num) for row in outcome.measures] == [("a", 1.0), ("b", 2.0)]
    assert outcome.repeated == 2


def test_meta_is_null_when_empty() -> None:
    assert decoded(v1({"name": "a", "v": 1}, meta={})).measures[0].meta is None
    assert decoded(v1({"name": "a", "v": 1}, meta=None)).measures[0].meta is None
    assert decoded(v1({"name": "a", "v": 1}, meta={"fw": "é"})).measures[0].meta == '{"fw":"é"}'


def test_ten_thousand_points_are_allowed() -> None:
    decoder = Decoder(max_payload_bytes=10**7, max_future_s=0, clock=lambda: NOW)
    outcome = decoder.decode(entry(v1(*({"name": f"p{n}", "v": n} for n in range(10_000)))))
    assert isinstance(outcome, Decoded)
    assert len(outcome.measures) == 10_000


def test_a_payload_over_the_limit_is_not_even_parsed() -> None:
    assert reason(b"{" * 10_001) == "payload_too_large: payload: 10001 bytes, at most 10000 are allowed"
    assert reason(b"{" * 10_000).startswith("parse_error")


@pytest.mark.parametrize(
    ("message", "points"),
    [
        ({"di1": 1}, [("status", None, None, "RUN", None)]),
        ({"di2": 0}, [("fault", None, False, None, None)]),
        ({"di2": 1.0}, [("fault", None, True, None, None)]),
        (
            {"di1": 0, "di2": 1, "rssi": -68.5},
            [
                ("status", None, None, "STOP", None),
                ("fault", None, True, None, None),
                ("rssi", -68.5, None, None, "dBm"),
            ],
        ),
        ({"di1": 1, "rssi": None, "fw": None}, [("status", None, None, "RUN", None)]),
    ],
)
def test_parsec_v1(message: dict[str, Any], points: list[tuple[Any, ...]]) -> None:
    rows = decoded(json.dumps({"ts": TS} | message)).measures
    assert [(row.point_id, row.v_num, row.v_bool, row.v_text, row.unit) for row in rows] == points
    assert {row.meta for row in rows} == {'{"src":"parsec_v1"}'}


def test_parsec_firmware_goes_to_meta() -> None:
    (row,) = decoded(json.dumps({"ts": TS, "di1": 1, "fw": "1.2.3"})).measures
    assert json.loads(row.meta or "") == {"src": "parsec_v1", "fw": "1.2.3"}


@pytest.mark.parametrize(
    ("message", "where"),
    [
        ({"di1": 2}, "di1: Input should be 0 or 1"),
        ({"di1": True}, "di1: "),
        ({"di1": "1"}, "di1: "),
        ({"di1": 1, "rssi": "x"}, "rssi: "),
        ({"di1": 1, "rssi": True}, "rssi: "),
        ({"di1": 1, "fw": 3}, "fw: "),
        ({"di1": 1, "fw": "\0"}, "fw: "),
        ({"di1": 1, "ts": "2025-10-07T15:30:00"}, "ts: "),
        ({"rssi": -68, "fw": "1"}, "schema: missing"),
    ],
)
def test_a_bad_parsec_message_is_poison(message: dict[str, Any], where: str) -> None:
    assert reason(json.dumps({"ts": TS} | message)).startswith(f"parse_error: {where}")


def test_an_infinite_rssi_is_poison() -> None:
    assert reason('{"ts":"2025-10-07T15:30:00Z","di1":1,"rssi":1e999}').startswith("parse_error: rssi: ")


def test_an_ack_keeps_its_whole_payload() -> None:
    outcome = decoded(
        json.dumps({"schema": "v1", "cmd_id": "c1", "ok": False, "err": "E", "ts_exec": TS, "x": 1}), "ack"
    )
    assert outcome.ack is not None
    assert (outcome.ack.cmd_id, outcome.ack.ok, outcome.ack.err) == ("c1", False, "E")
    assert json.loads(outcome.ack.payload)["x"] == 1
    assert outcome.ack.at == datetime(2025, 10, 7, 15, 30, 0, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"schema": "v2"}, "schema"),
        ({"cmd_id": 5}, "cmd_id"),
        ({"cmd_id": ""}, "cmd_id"),
        ({"cmd_id": "\0"}, "cmd_id"),
        ({"ok": 1}, "ok"),
        ({"ok": "true"}, "ok"),
        ({"ts_exec": "yesterday"}, "ts_exec"),
        ({"err": {"code": 1}}, "err"),
        ({"err": "\0"}, "err"),
    ],
)
def test_a_bad_ack_is_poison(change: dict[str, Any], where: str) -> None:
    ack = {"schema": "v1", "cmd_id": "c1", "ok": True, "ts_exec": TS, "err": None} | change
    assert reason(json.dumps(ack), "ack").startswith(f"parse_error: {where}: ")


def test_an_unknown_key_of_an_ack_is_ignored_whatever_it_holds() -> None:
    for hostile in ('"\\u0000"', "1e999"):
        outcome = decoded(f'{{"schema":"v1","cmd_id":"c1","ok":true,"extra":{hostile},"err":null}}', "ack")
        assert outcome.ack is not None
        assert json.loads(outcome.ack.payload) == {"schema": "v1", "cmd_id": "c1", "ok": True, "err": None}


def event(**change: Any) -> str:
    return json.dumps({"schema": "v1", "event_type": "boot", "ts": TS} | change)


def event_id(payload: str) -> str:
    outcome = decoded(payload, "event")
    assert outcome.event is not None
    return outcome.event.event_id


def test_an_event_without_id_is_its_content() -> None:
    assert event_id(event(event_id="E1")) == "E1"
    assert event_id(event(data={"a": 1, "b": 2})) == event_id(
        event(data={"b": 2, "a": 1}, event_id=None, note="ignored")
    )
    assert event_id(event()) == event_id(event(ts="2025-10-07T12:30:00-03:00"))
    different = {
        event_id(payload)
        for payload in (event(), event(data={"a": 1}), event(event_type="x"), event(ts="2025-10-07T15:30:01Z"))
    }
    assert len(different) == 4


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"event_type": ""}, "event_type"),
        ({"event_type": "\0"}, "event_type"),
        ({"event_id": 5}, "event_id"),
        ({"event_id": "\0"}, "event_id"),
        ({"data": []}, "data"),
        ({"data": {"a": "\0"}}, "data"),
        ({"ts": None}, "ts"),
    ],
)
def test_a_bad_event_is_poison(change: dict[str, Any], where: str) -> None:
    assert reason(event(**change), "event").startswith(f"parse_error: {where}: ")


@pytest.mark.parametrize(
    ("topic", "where", "tenant"),
    [
        (b"traksense/t/s/d", "topic: should be traksense/tenant/site/device/kind", "t"),
        (b"traksense/t/s/d/telem/more", "topic: should be", "t"),
        (b"other/t/s/d/telem", "topic: should be", None),
        (b"traksense//s/d/telem", "topic.tenant: should have 1 to 128 characters, has 0", None),
        (b"traksense/t/" + b"x" * 129 + b"/d/telem", "topic.site: should have 1 to 128 characters, has 129", "t"),
        (b"traksense/t/s/a\x07b/telem", "topic.device: should have no control characters", "t"),
        ("traksense/t/s/a\x85b/telem".encode(), "topic.device: should have no control characters", "t"),
        (b"traksense/t/s/d/status", "topic.kind: should be telem, ack or event", "t"),
        (b"traksense/t/s/\xff/telem", "topic: not UTF-8 at byte 14", None),
        (b"", "topic: should be", None),
    ],
)
def test_a_topic_that_is_not_ours_is_invalid(topic: bytes, where: str, tenant: str | None) -> None:
    outcome = DECODER.decode(entry(v1())._replace(topic=topic))
    assert isinstance(outcome, Rejected)
    assert outcome.reason.startswith(f"invalid_topic: {where}")
    assert outcome.tenant_id == tenant


@pytest.mark.parametrize("name", ["'; DROP TABLE ts_measure; --", "%", "_", "ação", "🧊", "x" * 128, " ", "$share"])
def test_names_are_just_names(name: str) -> None:
    outcome = DECODER.decode(entry(v1({"name": name, "v": 1}), device=name))
    assert isinstance(outcome, Decoded)
    assert (outcome.measures[0].device_id, outcome.measures[0].point_id) == (name, name)


@pytest.mark.parametrize(
    ("field", "reason_"),
    [
        ("topic", "invalid_topic: topic: the entry has no such field"),
        ("payload", "parse_error: payload: the entry has no such field"),
    ],
)
def test_an_entry_added_by_hand_may_lack_fields(field: str, reason_: str) -> None:
    missing: dict[str, Any] = {field: None}
    outcome = DECODER.decode(entry(v1())._replace(**missing))
    assert isinstance(outcome, Rejected)
    assert outcome.reason == reason_


def test_a_host_whose_clock_is_behind_refuses_nothing() -> None:
    """The entry's id tells the time as well, and never steps back."""
    payload = json.dumps({"schema": "v1", "ts": "2025-10-07T15:30:00Z", "points": []}).encode()
    behind = Decoder(10_000, 86_400, lambda: NOW - timedelta(days=30))
    for id_, expected in ((b"1759851000000-0", Decoded), (b"1757259000000-0", Rejected)):
        entry = parse_entry("s", id_, [b"topic", b"traksense/t/s/d/telem", b"payload", payload])
        assert isinstance(behind.decode(entry), expected)
