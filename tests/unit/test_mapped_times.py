"""When a reading was made, by a route's time rule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import mapped
from tests.support.budget import examples
from tests.support.mapped import RECEIVED, reason_of, rows_of
from traksense_ingest.shared.mapping.points import TimeFormat
from traksense_ingest.writer.decode.mapped.clock_times import compile_format
from traksense_ingest.writer.decode.mapped.scope import Wrong
from traksense_ingest.writer.outcome import Decoded, Ignored, Rejected

POINTS = "- {path: v}"


def time_of(rule: str, payload: str, received: datetime = RECEIVED) -> str:
    """As `2026-11-28T16:00:00`, in UTC."""
    (row,) = rows_of(mapped.points(POINTS, rule).outcome("t/d", payload, received))
    return row.ts.astimezone(UTC).isoformat().removesuffix("+00:00")


def why(rule: str, payload: str, received: datetime = RECEIVED) -> str:
    return reason_of(mapped.points(POINTS, rule).outcome("t/d", payload, received))


@pytest.mark.parametrize(
    ("rule", "value", "expected"),
    [
        ("{path: t}", '"2026-11-28T17:00:00.25+01:00"', "2026-11-28T16:00:00.250000"),
        ("{path: t}", "1795881600", "2026-11-28T16:00:00"),
        ("{path: t}", "1795881600.25", "2026-11-28T16:00:00.250000"),
        ("{path: t, format: unix}", '"1795881600.1234567"', "2026-11-28T16:00:00.123456"),
        ("{path: t, format: unix_ms}", "1795881600040", "2026-11-28T16:00:00.040000"),
        ("{path: t, format: unix_ms}", "1795881600040.5", "2026-11-28T16:00:00.040500"),
        ("{path: t, format: unix_us}", "1795881600000001", "2026-11-28T16:00:00.000001"),
        ("{path: t, format: unix_ns}", "1795881600250000999", "2026-11-28T16:00:00.250000"),
        ("{path: t, format: unix_ns}", '"1795881600000001999"', "2026-11-28T16:00:00.000001"),
        ("{path: t, format: auto}", "1795881600", "2026-11-28T16:00:00"),
        ("{path: t, format: auto}", "1795881600000", "2026-11-28T16:00:00"),
        ("{path: t, format: auto}", '"1795881600000000"', "2026-11-28T16:00:00"),
        ("{path: t, format: auto}", "1795881600000000000", "2026-11-28T16:00:00"),
        ("{path: t, format: auto}", '"2026-11-28T16:00:00Z"', "2026-11-28T16:00:00"),
        ("{path: t, format: [unix_ms, rfc3339]}", '"2026-11-28T16:00:00Z"', "2026-11-28T16:00:00"),
        ("{path: t, format: [unix_ms, rfc3339]}", "1795881600000", "2026-11-28T16:00:00"),
        ('{path: t, format: {strptime: "%d.%m.%Y %H:%M"}, tz: UTC}', '"28.11.2026 16:00"', "2026-11-28T16:00:00"),
        ('{path: t, format: {strptime: "%Y%m%d%H%M%S%z"}}', '"20261128170000+0100"', "2026-11-28T16:00:00"),
        ('{path: t, format: {strptime: "%Y%m%d%H%M%S"}, tz: UTC}', "20261128160000", "2026-11-28T16:00:00"),
        ("{path: t, tz: America/Sao_Paulo}", '"2026-11-28T13:00:00"', "2026-11-28T16:00:00"),
        ("{path: t, tz: America/Sao_Paulo}", '"2026-11-28 13:00:00,25"', "2026-11-28T16:00:00.250000"),
        ("{path: t, tz: America/Sao_Paulo}", '"2026-11-28T16:00:00Z"', "2026-11-28T16:00:00"),
    ],
)
def test_formats(rule: str, value: str, expected: str) -> None:
    assert time_of(rule, f'{{"t": {value}, "v": 1}}') == expected


@pytest.mark.parametrize(
    ("rule", "value", "what"),
    [
        ("{path: t}", '"28.11.2026"', "t: Input should be an RFC 3339 timestamp"),
        ("{path: t}", '"2026-11-28T16:00:00"', "t: Input should be an RFC 3339 timestamp with Z or an offset"),
        ("{path: t}", "true", "t: Input should be a number since 1970, is true"),
        ("{path: t}", "{}", "t: Input should be a number since 1970, is an object"),
        ("{path: t, format: unix}", '"noon"', 't: Input should be a number since 1970, is "noon"'),
        ("{path: t, format: unix}", "1e300", "out_of_range: test/r: t: 1e+300 is beyond the calendar"),
        ("{path: t, format: unix_ms}", "99999999999999999", "out_of_range: test/r: t: 99999999999999999 is beyond"),
        ("{path: t, format: unix}", "0", "out_of_range: test/r: t: 1970-01-01T00:00:00+00:00 is before 2000-01-01"),
        ("{path: t}", '"2026-12-28T16:00:00Z"', "out_of_range: test/r: t: 2026-12-28T16:00:00+00:00 is more than"),
        (
            '{path: t, format: {strptime: "%d.%m.%Y"}, tz: UTC}',
            '"30.2.2026"',
            "Input should be a time of the form %d.%m.%Y",
        ),
        (
            '{path: t, format: {strptime: "%d.%m.%Y"}}',
            '"28.2.2026"',
            '"28.2.2026" has no offset, and the route has no tz',
        ),
        ("{path: t, tz: Europe/Berlin}", '"2026-02-30T10:00:00"', "t: Input should be a date and time that exist"),
        ("{path: t}", "null", "t: t is missing, and is the time"),
    ],
)
def test_what_is_no_time(rule: str, value: str, what: str) -> None:
    assert what in why(rule, f'{{"t": {value}, "v": 1}}')


def test_a_time_too_far_ahead_says_which_it_is() -> None:
    """The writer compares it with other devices' where its own clock may be behind."""
    outcome = mapped.points(POINTS, "{path: t}").outcome("t/d", '{"t": "2026-12-28T16:00:00Z", "v": 1}')
    assert isinstance(outcome, Rejected)
    assert outcome.ahead == datetime(2026, 12, 28, 16, tzinfo=UTC)


@pytest.mark.parametrize(
    ("received", "expected"),
    [("2026-10-25T00:31:00Z", "2026-10-25T00:30:00"), ("2026-10-25T01:29:00Z", "2026-10-25T01:30:00")],
)
def test_the_hour_that_comes_twice_is_the_nearer_one(received: str, expected: str) -> None:
    rule = "{path: t, tz: Europe/Berlin}"
    assert time_of(rule, '{"t": "2026-10-25T02:30:00", "v": 1}', datetime.fromisoformat(received)) == expected


@pytest.mark.parametrize(
    ("received", "expected"),
    [("2026-03-29T00:31:00Z", "2026-03-29T00:30:00"), ("2026-03-29T01:29:00Z", "2026-03-29T01:30:00")],
)
def test_the_hour_that_never_comes_is_the_nearer_one_too(received: str, expected: str) -> None:
    rule = "{path: t, tz: Europe/Berlin}"
    assert time_of(rule, '{"t": "2026-03-29T02:30:00", "v": 1}', datetime.fromisoformat(received)) == expected


@pytest.mark.parametrize(
    ("rule", "payload", "expected"),
    [
        ("received", '{"v": 1}', "2026-11-28T16:00:05.123000"),
        ("{path: t, missing: received}", '{"v": 1}', "2026-11-28T16:00:05.123000"),
        ("{path: t, missing: received}", '{"t": null, "v": 1}', "2026-11-28T16:00:05.123000"),
        ("{path: t, missing: received, received: {round: 1s}}", '{"v": 1}', "2026-11-28T16:00:05"),
        ("{path: t, missing: received, received: {round: 1m}}", '{"v": 1}', "2026-11-28T16:00:00"),
        ("{path: t, absent: [0], missing: received}", '{"t": 0, "v": 1}', "2026-11-28T16:00:05.123000"),
        ('{path: t, absent: [""], missing: received}', '{"t": "", "v": 1}', "2026-11-28T16:00:05.123000"),
        ("{path: t, before: 2000-01-01}", '{"t": 126230400, "v": 1}', "2026-11-28T16:00:05.123000"),
        (
            "{path: t, before: {date: 2020-01-01, then: received}}",
            '{"t": 1000000000, "v": 1}',
            "2026-11-28T16:00:05.123000",
        ),
        ("{paths: [a, b]}", '{"b": 1795881600, "v": 1}', "2026-11-28T16:00:00"),
        ("{paths: [a, b]}", '{"a": 1795881601, "b": 1795881600, "v": 1}', "2026-11-28T16:00:01"),
        ("{paths_joined: [d, t], tz: UTC}", '{"d": "2026-11-28", "t": "16:00:00", "v": 1}', "2026-11-28T16:00:00"),
    ],
)
def test_a_time_that_is_missing_or_elsewhere(rule: str, payload: str, expected: str) -> None:
    assert time_of(rule, payload) == expected


@pytest.mark.parametrize(
    ("rule", "payload", "what"),
    [
        ("{path: a.t}", '{"v": 1}', "parse_error: test/r: a.t: a.t is missing, and is the time"),
        ("{paths: [a, b]}", '{"v": 1}', "time: a or b is missing, and is the time"),
        (
            "{path: t, before: {date: 2020-01-01, then: reject}}",
            '{"t": 1000000000, "v": 1}',
            "no time before 2020-01-01",
        ),
        ("{paths_joined: [d, t], tz: UTC}", '{"d": "2026-11-28", "v": 1}', "d or t is missing"),
    ],
)
def test_a_time_that_is_wanted(rule: str, payload: str, what: str) -> None:
    assert what in why(rule, payload)


def test_the_received_time_is_not_the_devices_own() -> None:
    own = mapped.points(POINTS, "{path: t, missing: received}")
    without, with_time = own.outcome("t/d", '{"v": 1}'), own.outcome("t/d", '{"t": 1795881600, "v": 1}')
    assert isinstance(without, Decoded)
    assert isinstance(with_time, Decoded)
    assert (without.ts, with_time.ts) == (None, datetime(2026, 11, 28, 16, tzinfo=UTC))


def test_a_retained_message_without_a_time_says_nothing_of_now() -> None:
    own = mapped.points(POINTS, "{path: t, missing: received}")
    ignored = own.outcome("t/d", '{"v": 1}', retained=True)
    assert isinstance(ignored, Ignored)
    assert (ignored.reason, ignored.mapping) == ("retained", "test")
    stored = own.outcome("t/d", '{"t": 1795881600, "v": 1}', retained=True)
    assert isinstance(stored, Decoded)
    assert [seen.seen for seen in stored.devices] == [datetime(2026, 11, 28, 16, tzinfo=UTC)]


def test_points_with_a_time_of_their_own() -> None:
    own = mapped.points(
        """
        - {path: v}
        - {each: "old[*]", name: v, value: v, time: {paths: [t, ^.t], format: unix}}
        """,
        "{path: t}",
    )
    outcome = own.outcome(
        "t/d", '{"t": 1795881600, "v": 1, "old": [{"t": 1795881590, "v": 2}, {"t": 1795881590, "v": 3}, {"v": 4}]}'
    )
    assert isinstance(outcome, Decoded)
    assert [(row.ts.second, row.v_num) for row in rows_of(outcome)] == [(0, 1), (50, 2)]
    assert outcome.same_point == 2, "a second one at :50, and one more at the record's own time"
    assert outcome.ts == datetime(2026, 11, 28, 16, tzinfo=UTC), "the newest"


def test_a_time_of_a_point_that_is_wrong_says_where() -> None:
    own = mapped.points('- {each: "a[*]", name: v, value: v, time: {path: t}}', "received")
    assert "a[1]" in reason_of(own.outcome("t/d", '{"a": [{"t": 1795881600, "v": 1}, {"t": "x", "v": 1}]}'))


@settings(max_examples=examples(1000))
@given(st.integers(946_684_800, 1_900_000_000), st.integers(0, 999_999_999))
def test_integers_are_exact(seconds: int, nanos: int) -> None:
    parse = compile_format(TimeFormat.UNIX_NS, None)
    expected = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds, microseconds=nanos // 1000)
    for value in (seconds * 10**9 + nanos, str(seconds * 10**9 + nanos)):
        assert parse(value, RECEIVED) == expected
    decimal = f"{seconds}.{nanos:09}"
    assert compile_format(TimeFormat.UNIX, None)(decimal, RECEIVED) == expected


@settings(max_examples=examples(2000))
@given(st.sampled_from([*TimeFormat]), st.integers() | st.floats() | st.text(max_size=40) | st.booleans() | st.none())
def test_any_value_is_a_time_or_wrong(form: TimeFormat, value: object) -> None:
    for zone in (None, "Europe/Berlin"):
        try:
            found = compile_format(form, zone)(value, RECEIVED)
        except Wrong:
            continue
        assert found.utcoffset() is not None


@pytest.mark.parametrize(
    "point",
    [
        "- {leaves: a, time: {path: $.t, format: unix}}",
        "- {each: a, value: v, name: '{.n}', time: {path: $.t, format: unix}}",
    ],
)
def test_a_time_of_points_holds_for_names_that_are_known_too(point: str) -> None:
    """From the second message on the names are known, and floats are added in a faster way."""
    decoding = mapped.points(point, "{path: ts, format: unix}")
    values = '{"x": 1.5, "y": 2.5}' if "leaves" in point else '[{"n": "x", "v": 1.5}, {"n": "y", "v": 2.5}]'
    for second in range(3):
        rows = rows_of(decoding.outcome("t/d", f'{{"ts": 1795881000, "t": {1795881600 + second}, "a": {values}}}'))
        assert {row.ts.timestamp() for row in rows} == {1795881600 + second}


def test_points_that_differ_in_an_absent_value_alone() -> None:
    """0 means no time to the first, but not to the second."""
    decoding = mapped.points(
        "- {path: a, time: {path: t, format: unix, absent: [0], missing: received}}\n"
        "- {path: b, time: {path: t, format: unix, absent: [false], missing: received}}",
    )
    assert "1970-01-01T00:00:00+00:00 is before" in reason_of(decoding.outcome("t/d", '{"t": 0, "a": 1.5, "b": 2.5}'))
