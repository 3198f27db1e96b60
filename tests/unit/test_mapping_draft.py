"""`mapping new`: what it finds in messages, and that each draft is right about those that it is made of."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.budget import examples
from traksense_ingest.ops.mapping.draft.draft import Draft, draft_of, engine_of
from traksense_ingest.ops.mapping.draft.samples import Form, sample_of
from traksense_ingest.ops.mapping.rows import rows_of
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.mapping.expected import Message
from traksense_ingest.writer.decode.mapped.check import run_tests
from traksense_ingest.writer.outcome import Decoded

RECEIVED = datetime(2026, 11, 28, 16, 0, 5, 123000, tzinfo=UTC)
UNIX = 1795881600
SETTINGS = Settings(_env_file=None)  # type: ignore[call-arg]

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.sampled_from(["2026-11-28T16:00:00Z", "2026-11-28 17:00:00", "28.11.2026 16:00", UNIX, UNIX * 1000, 0, "ON"])
)
KEYS = st.text(max_size=12) | st.sampled_from(
    ["ts", "time", "device_id", "id", "site", "value", "unit", "sensors", "name", "fw", "n", "v", "u", "bn", "t"]
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=15,
)
LEVELS = st.text(st.characters(exclude_characters="/+#\0", exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["plant", "sites", "north", "devices", "dev-001", "dev-002", "data", "{x}", "$sys", "telemetry", "acme", "tenants"]
)
TOPICS = st.lists(LEVELS, min_size=1, max_size=5).map("/".join).filter(bool)
PAYLOADS = JSON.map(lambda value: json.dumps(value).encode()) | st.text(min_size=1).map(str.encode)
MESSAGES = st.builds(Message, topic=TOPICS, payload=PAYLOADS, received=st.just(RECEIVED), retained=st.booleans())


def drafted(*messages: tuple[str, Any], tenant: str | None = None) -> Draft:
    """Of topics and payloads, a second apart."""
    samples = [
        sample_of(Message(topic, payload_of(value), RECEIVED + timedelta(seconds=number)))
        for number, (topic, value) in enumerate(messages)
    ]
    return draft_of(samples, tenant, None, ()).draft(SETTINGS)


def payload_of(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


def routes_of(draft: Draft) -> str:
    """What is between the head and the tests."""
    return draft.text.partition("\nroutes:\n")[2].partition("\ntests:\n")[0]


def rows(draft: Draft, message: Message) -> list[dict[str, Any]]:
    outcome = engine_of(draft.mapping, SETTINGS).decode(message)
    assert isinstance(outcome, Decoded), outcome
    return rows_of(outcome)


@settings(max_examples=examples(600))
@given(st.lists(MESSAGES, min_size=1, max_size=6))
def test_every_draft_is_without_faults_and_passes_its_own_tests(messages: list[Message]) -> None:
    samples = [sample for message in messages if (sample := sample_of(message)).form is not Form.OTHER]
    if not samples:
        return
    draft = draft_of(samples, None, None, ()).draft(SETTINGS)
    report = run_tests(draft.mapping)
    assert draft.mapping.tests
    assert not report.failed, draft.text
    assert not [each for each in report.unreached if not each.where], draft.text
    assert {test.message for test in draft.mapping.tests} <= {sample.message for sample in samples}


def test_levels_that_vary_are_captured_and_words_before_them_say_what_they_are() -> None:
    draft = drafted(
        ("tenants/acme/sites/north/devices/chiller-1/telemetry", {"ts": "2026-11-28T16:00:00Z", "temp": 4.25}),
        ("tenants/acme/sites/south/devices/chiller-2/telemetry", {"ts": "2026-11-28T16:00:01Z", "temp": 5, "on": True}),
    )
    assert (
        draft.text
        == """\
# Drafted by `traksense-ingest mapping new` from messages that came. The language: docs/mapping-language.md
version: 1
name: tenants
tenant: {from: topic}

routes:
  - name: telemetry
    topics: "tenants/{tenant}/sites/{site}/devices/{device}/telemetry"
    time: ts
    points:
      - {leaves: ".", except: [ts]}

tests:
  - name: "telemetry 1, as it came"
    topic: "tenants/acme/sites/north/devices/chiller-1/telemetry"
    received: 2026-11-28T16:00:05.123Z
    payload: '{"ts": "2026-11-28T16:00:00Z", "temp": 4.25}'
    rows:
      - {tenant: acme, site: north, device: chiller-1, ts: "2026-11-28T16:00:00Z", point: temp, v_num: 4.25}
  - name: "telemetry 2, as it came"
    topic: "tenants/acme/sites/south/devices/chiller-2/telemetry"
    received: 2026-11-28T16:00:06.123Z
    payload: '{"ts": "2026-11-28T16:00:01Z", "temp": 5, "on": true}'
    rows:
      - {tenant: acme, site: south, device: chiller-2, ts: "2026-11-28T16:00:01Z", point: temp, v_num: 5}
      - {point: "on", v_bool: true}
"""
    )


def test_what_no_message_says_has_a_comment() -> None:
    draft = drafted(("boiler", {"t1": 60.5}))
    assert (
        routes_of(draft)
        == """\
  - name: readings
    topics: "{device}"
    identity:
      site: main  # where the device is: no message says it
    # {device}: is this what tells devices apart?
    time: {missing: received, received: {round: "1s"}}  # no time is in the payload: when it was received
    points:
      - {leaves: "."}
"""
    )
    assert "tenant: main  # whose readings these are: no message says it\n" in draft.text
    assert "\ntenant: acme\n" in drafted(("boiler", {"t1": 60.5}), tenant="acme").text


def test_a_level_that_a_field_repeats_is_the_device() -> None:
    draft = drafted(
        ("gw/0a1b2c/7", {"mac": "0a1b2c", "seq": 7, "temp": 1}), ("gw/0a1b2d/7", {"mac": "0a1b2d", "seq": 8, "temp": 2})
    )
    assert '    topics: "gw/{device}/7"\n' in draft.text
    assert '      - {leaves: ".", except: [mac]}\n' in draft.text


def test_a_field_that_names_the_device_is_it_where_the_topic_says_nothing() -> None:
    draft = drafted(*(("telemetry/up", {"deviceId": f"d-{n}", "site": "north", "temp": n}) for n in range(3)))
    assert '    topics: "telemetry/up"\n' in draft.text
    assert '      site: "{.site}"\n      device: "{.deviceId}"\n' in draft.text
    assert len(draft.mapping.tests) == 3


@pytest.mark.parametrize(
    ("key", "value", "time"),
    [
        ("ts", "2026-11-28T16:00:00+01:00", "ts"),
        ("ts", UNIX, "{path: ts, format: unix}"),
        ("timestamp", UNIX + 0.5, "{path: timestamp, format: unix}"),
        ("time", UNIX * 1000, "{path: time, format: unix_ms}"),
        ("t", UNIX * 10**6, "{path: t, format: unix_us}"),
        ("created_at", UNIX * 10**9, "{path: created_at, format: unix_ns}"),
        ("x", UNIX, "{path: x, format: unix}"),
        ("ts", "2026-11-28T16:00:00", "{path: ts, format: rfc3339, tz: UTC}"),
        ("ts", "28.11.2026 16:00:00", '{path: ts, format: {strptime: "%d.%m.%Y %H:%M:%S"}, tz: UTC}'),
    ],
)
def test_times_are_found(key: str, value: object, time: str) -> None:
    draft = drafted(("plant/dev-001", {"a": 1, key: value}))
    assert f"    time: {time}" in draft.text
    (row,) = rows(draft, draft.mapping.tests[0].message)
    assert row["ts"].startswith("2026-11-28T1")
    assert "no time is in the payload" not in draft.text


@pytest.mark.parametrize(
    "value",
    [1234567, 12345678901234567890123, "2026", "2036-11-28T16:00:00Z", "1999-01-01T00:00:00Z", True, -1, "16:00"],
)
def test_what_is_no_time_is_a_reading(value: object) -> None:
    draft = drafted(("plant/dev-001", {"a": 1, "ts": value}))
    assert "no time is in the payload" in draft.text
    assert {row["point"] for row in rows(draft, draft.mapping.tests[0].message)} == {"a", "ts"}


def test_a_time_that_is_not_always_there_or_not_set_is_the_receipt() -> None:
    draft = drafted(("p/dev-001", {"a": 1, "ts": UNIX}), ("p/dev-001", {"a": 2, "ts": 0}), ("p/dev-001", {"a": 3}))
    time = '{path: ts, format: unix, absent: [0], missing: received, received: {round: "1s"}}'
    assert f"    time: {time}\n" in draft.text
    found = [rows(draft, test.message)[0]["ts"] for test in draft.mapping.tests]
    assert found == ["2026-11-28T16:00:00Z", "2026-11-28T16:00:06Z", "2026-11-28T16:00:07Z"]


def test_one_reading_on_a_topic_is_named_by_it() -> None:
    draft = drafted(
        *(
            (f"home/dev-{n}/{point}", value)
            for n in (1, 2)
            for point, value in (("temperature", "21.5"), ("mode", "eco"))
        )
    )
    assert routes_of(draft).startswith('  - name: values\n    topics: "home/{device}/{point}"\n    decode: text\n')
    assert '      - {path: ".", name: "{point}", numbers_in_text: true}\n' in draft.text
    draft = drafted(*((f"x/dev-1/{point}", {"value": 1, "unit": "bar"}) for point in ("inlet", "outlet")))
    assert '      - {path: value, name: "{point}", unit: "{.unit}"}\n' in draft.text


def test_lists_of_readings_have_their_names_units_and_times() -> None:
    sensors = [{"sensor_id": name, "value": 1.5, "unit": "°C", "at": UNIX} for name in ("a", "b")]
    draft = drafted(("p/dev-001", {"fw": "1.2", "id": 7, "sensors": sensors, "rssi": -70}))
    assert "    meta: {fw: fw}\n" in draft.text
    each = '{each: "sensors[*]", name: "{.sensor_id}", value: value, unit: "{.unit}", time: {path: at, format: unix}}'
    assert f"      - {each}\n" in draft.text
    assert {row["point"]: row["unit"] for row in rows(draft, draft.mapping.tests[0].message)} == {
        "a": "°C",
        "b": "°C",
        "id": None,
        "rssi": None,
    }


def test_messages_of_different_kinds_are_routes_of_their_own() -> None:
    alarm = {"code": 7, "text": "alarm", "at": UNIX}
    draft = drafted(("p/dev-001/up", {"temp": 1, "hum": 2}), ("p/dev-001/up", alarm), ("p/dev-001/bar", "9"))
    assert [(route.name, bool(route.when)) for route in draft.mapping.routes] == [
        ("up", True),
        ("up-2", True),
        ("values", False),
    ]
    taken = [rows(draft, test.message) for test in draft.mapping.tests]
    assert [[row["point"] for row in found] for found in taken] == [["temp", "hum"], ["code", "text"], ["bar"]]


def test_messages_that_are_read_alike_are_one_route() -> None:
    draft = drafted(("p/dev-001/up", {"temp": 1, "hum": 2}), ("p/dev-001/up", {"code": 7, "text": "alarm"}))
    assert len(draft.mapping.routes) == 1
    assert not draft.mapping.routes[0].when


def test_a_first_level_that_begins_with_a_dollar_is_never_captured() -> None:
    draft = drafted(("$dev-001", "0"), ("dev-002", "1"))
    assert sorted(route.topics[0].text for route in draft.mapping.routes) == ["$dev-001", "{device}"]
    assert [len(rows(draft, test.message)) for test in draft.mapping.tests] == [1, 1]
