"""The tests inside a mapping file: what is compared, how a difference reads, and what no test reaches."""

from __future__ import annotations

import textwrap

import pytest

from tests.support import mapped
from traksense_ingest.shared.mapping.load import LIBRARY
from traksense_ingest.writer.decode.mapped.check import Report, run_tests

HEAD = """
version: 1
name: m
tenant: {from: topic}
defaults:
  identity: {tenant: "{tenant}", site: s, device: "{device}"}
  time: {path: t, missing: received}
routes:
  - name: telem
    topics: "{tenant}/{device}/x"
    meta: {fw: fw}
    points:
      - {path: temp, unit: C}
      - {path: hum}
  - name: ack
    topics: "{tenant}/{device}/ack"
    kind: ack
    ack: {cmd_id: "{.id}", ok: ok}
  - name: event
    topics: "{tenant}/{device}/event"
    kind: event
    event: {type: "{.type}", data: {n: n}}
  - name: state
    topics: "{tenant}/{device}/state"
    kind: state
    state: {online: online}
  - {name: noise, topics: "{tenant}/{device}/noise", ignore: true}
tests:
"""
X = "topic: acme/d/x\n    payload: "
GOOD = '{"t": 1795881600, "temp": 4.5, "hum": 60, "fw": "1"}'


def report(tests: str) -> Report:
    return run_tests(mapped.read((HEAD + textwrap.dedent(tests)).encode()))


def problems(expected: str, payload: str = GOOD, topic: str = "acme/d/x") -> tuple[str, ...]:
    (result,) = report(f"  - name: it\n    topic: {topic}\n    payload: '{payload}'\n    {expected}\n").results
    return result.problems


ROW = (
    '{tenant: acme, site: s, device: d, ts: "2026-11-28T16:00:00Z", point: temp, v_num: 4.5, unit: C, meta: {fw: "1"}}'
)


@pytest.mark.parametrize(
    ("expected", "payload", "topic"),
    [
        (f"rows: [{ROW}, {{point: hum, v_num: 60}}]", GOOD, "acme/d/x"),
        (f"rows: [{{point: hum, v_num: 60}}, {ROW}]", GOOD, "acme/d/x"),
        ("rows: []", "{}", "acme/d/x"),
        ("rows: []", "{}", "acme/d/noise"),
        ("ignored: true", "{}", "acme/d/noise"),
        ("poison: not JSON", "{", "acme/d/x"),
        ("meta: {fw: '1'}", GOOD, "acme/d/x"),
        ("route: telem", GOOD, "acme/d/x"),
        ("ack: {cmd_id: '1', ok: true}", '{"id": 1, "ok": true}', "acme/d/ack"),
        ("event: {event_type: boot, data: {n: 1}}", '{"type": "boot", "n": 1}', "acme/d/event"),
        ("state: {online: false, reason: null}", '{"online": false}', "acme/d/state"),
    ],
)
def test_what_is_as_expected(expected: str, payload: str, topic: str) -> None:
    assert problems(expected, payload, topic) == ()


@pytest.mark.parametrize(
    ("expected", "payload", "topic", "line"),
    [
        (
            "rows: [{point: temp, v_num: 4.6, unit: K}, {point: hum, v_num: 60}]",
            GOOD,
            "acme/d/x",
            'point temp: v_num expected 4.6, found 4.5; unit expected "K", found "C"',
        ),
        (
            "rows: [{point: temp, v_num: 4.5}, {point: hum, v_num: 60}]",
            GOOD,
            "acme/d/x",
            'point temp: unit expected null, found "C"',
        ),
        (
            "rows: [{point: hum, v_num: 60}]",
            GOOD,
            "acme/d/x",
            'not expected: {tenant: "acme", site: "s", device: "d", ts: 2026-11-28T16:00:00Z, point: "temp", v_num',
        ),
        (
            "rows: [{point: temp, v_num: 4.5, unit: C}, {point: hum, v_num: 60}, {point: humi, v_num: 1}]",
            GOOD,
            "acme/d/x",
            'missing: {point: "humi", v_num: 1} (the nearest found is hum)',
        ),
        (
            "rows: [{point: temp, v_num: 1, unit: C}]",
            '{"temp": true}',
            "acme/d/x",
            "point temp: v_num expected 1, found null; v_bool expected null, found true",
        ),
        (
            "rows: [{point: temp}]",
            "{",
            "acme/d/x",
            "expected rows, found poison: parse_error: m/telem: payload: not JSON",
        ),
        (
            "poison: too large",
            "{",
            "acme/d/x",
            "poison: expected the text 'too large', found 'parse_error: m/telem: payload: not JSON",
        ),
        ("poison: anything", GOOD, "acme/d/x", "expected poison with the text 'anything', found 2 rows"),
        ("ignored: true", GOOD, "acme/d/x", "expected it to be ignored, found 2 rows"),
        ("rows: [{point: temp}]", "{}", "acme/d/noise", "expected rows, found ignored (mapping)"),
        ("meta: {fw: '2'}", GOOD, "acme/d/x", 'meta: expected {"fw": "2"}, found {"fw": "1"}'),
        ("route: ack", GOOD, "acme/d/x", "route: expected m/ack, found m/telem"),
        ("route: ack", GOOD, "acme/nothing", "route: expected m/ack, found none"),
        (
            "ack: {cmd_id: '1', ok: false}",
            '{"id": 1, "ok": true}',
            "acme/d/ack",
            "cmd_id 1: ok expected false, found true",
        ),
        ("ack: {cmd_id: '1'}", GOOD, "acme/d/x", 'missing: {cmd_id: "1"}'),
        (
            "event: {event_type: stop}",
            '{"type": "boot"}',
            "acme/d/event",
            'event_type stop: event_type expected "stop", found "boot"',
        ),
        (
            "state: {device: d, online: true}",
            '{"online": false}',
            "acme/d/state",
            "device d: online expected true, found false",
        ),
    ],
)
def test_a_difference_in_one_line(expected: str, payload: str, topic: str, line: str) -> None:
    assert any(found.startswith(line) for found in problems(expected, payload, topic)), problems(
        expected, payload, topic
    )


def test_what_no_test_reaches() -> None:
    found = report(
        f"  - name: it\n    {X}'{{\"temp\": 1}}'\n    rows: [{{point: temp, v_num: 1, unit: C}}]\n"
    ).unreached
    places = [(one.route, one.where, one.place.line) for one in found]
    assert places == [
        ("m/telem", "routes[0].points[1]", 14),
        *[(f"m/{name}", "", line) for name, line in (("ack", 15), ("event", 19), ("state", 23), ("noise", 27))],
    ]


def test_each_test_begins_with_no_knowledge_of_the_others() -> None:
    sparkplug = mapped.file(LIBRARY / "sparkplug.yaml")
    assert not run_tests(sparkplug).failed
    results = run_tests(sparkplug).results
    assert [result.test.name for result in results] == [test.name for test in sparkplug.tests]
