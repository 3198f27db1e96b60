"""Entries of `points`: which values become rows, and under which names."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support import mapped
from tests.support.mapped import reason_of, rows_of, values_of
from traksense_ingest.shared.mapping.text import Names
from traksense_ingest.writer.decode.mapped.names import compile_names
from traksense_ingest.writer.decode.measures import Measures
from traksense_ingest.writer.outcome import Decoded


def values(body: str, payload: Any, more: str = "") -> dict[str, object]:
    text = payload if isinstance(payload, str) else json.dumps(payload)
    return values_of(mapped.points(body, more=more).outcome("t/d", text))


def why(body: str, payload: Any, more: str = "") -> str:
    text = payload if isinstance(payload, str) else json.dumps(payload)
    return reason_of(mapped.points(body, more=more).outcome("t/d", text)).removeprefix("parse_error: test/r: ")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("{path: a.b}", {"b": 1}),
        ("{path: a.c.d.e}", {"e": 2}),
        ("{path: $.a.b}", {"b": 1}),
        ('{path: "l[0]", name: x}', {"x": 3}),
        ('{path: "l[-1].v"}', {"v": 4}),
        ('{path: "l[9]", name: x}', {}),
        ('{path: "a[0]", name: x}', {}),
        ("{path: l.v}", {}),
        ("{path: a.b.c}", {}),
        ('{path: "@device", name: x}', {"x": "d"}),
        ('{path: t, name: "{device}-{.n}"}', {"d-n1": "text"}),
    ],
)
def test_a_path(path: str, expected: dict[str, object]) -> None:
    payload = {"a": {"b": 1, "c": {"d": {"e": 2}}}, "l": [3, {"v": 4}], "t": "text", "n": "n1"}
    assert values(f"- {path}", payload) == expected


@pytest.mark.parametrize(
    ("body", "payload", "expected"),
    [
        (
            '- {each: "a[*]", name: "{.n}", value: v}',
            {"a": [{"n": "x", "v": 1}, {"n": "y", "v": True}]},
            {"x": 1, "y": True},
        ),
        ('- {each: "a[*]", name: "{.n}", value: v}', {"a": [{"n": "x"}, 3, None, {"n": "y", "v": 2}]}, {"y": 2}),
        ("- {each: a}", {"a": {"x": 1, "y": "z"}}, {"x": 1, "y": "z"}),
        ('- {each: a, name: "p{key}"}', {"a": [1, 2]}, {"p0": 1, "p1": 2}),
        ('- {each: "a.{k}", name: "{k}.{.n}", value: v}', {"a": {"x": {"n": "q", "v": 1}}}, {"x.q": 1}),
        (
            '- {each: "a.{k}.m[*]", name: "{k}.{key}"}',
            {"a": {"x": {"m": [1, 2]}, "y": {"m": [3]}}},
            {"x.0": 1, "x.1": 2, "y.0": 3},
        ),
        ('- {each: "a[*].v", name: "v{key}"}', {"a": [{"v": 1}, {}, {"v": 3}]}, {"v0": 1, "v2": 3}),
        (
            '- {each: "a[*]", name: "{.n}", value: v, only: {q: 192}}',
            {"a": [{"n": "x", "v": 1, "q": 192}, {"n": "y", "v": 2, "q": 0}]},
            {"x": 1},
        ),
        ("- {each: a, except: [t, 'x*']}", {"a": {"t": 1, "xy": 2, "y": 3}}, {"y": 3}),
        ("- {each: a, only: [t, 'x*']}", {"a": {"t": 1, "xy": 2, "y": 3}}, {"t": 1, "xy": 2}),
        ("- {each: a, rename: {t: temp}}", {"a": {"t": 1, "u": 2}}, {"temp": 1, "u": 2}),
        ("- {each: a, divide: 10, override: {t: {divide: 100}}}", {"a": {"t": 1, "u": 2}}, {"t": 0.01, "u": 0.2}),
        ("- {each: nothing}", {"a": 1}, {}),
        ('- {each: "a[*]", name: x}', {"a": {"x": 1}}, {}),
        ('- {each: "$.a[*]", name: "{.n}-{^.id}", value: v}', {"id": "i", "a": [{"n": "x", "v": 1}]}, {"x-i": 1}),
    ],
)
def test_each(body: str, payload: Any, expected: dict[str, object]) -> None:
    assert values(body, payload) == expected


@pytest.mark.parametrize(
    ("body", "payload", "what"),
    [
        ('- {each: "a[*]", name: "{.n}", value: v}', {"a": [{"n": "x", "v": {}}]}, "a[0].v: Input should be a number"),
        (
            '- {each: "a[*]", name: "{.n}", value: v}',
            {"a": [{"v": 1}]},
            "a[0].v: n is missing, and is the point's name",
        ),
        (
            '- {each: "a[*]", name: "{.n}", value: v}',
            {"a": [{"n": [], "v": 1}]},
            "n should be a string, a number or a boolean",
        ),
        (
            '- {each: "a[*]", name: "{.n}", value: v}',
            {"a": [{"n": "", "v": 1}]},
            "the point's name should have 1 to 256",
        ),
        ('- {each: "a[*]", name: "{.n}", value: v}', {"a": [{"n": "x" * 257, "v": 1}]}, "characters, has 257"),
        (
            '- {each: "a[*]", name: "{.n}", value: v}',
            {"a": [{"n": "a\0", "v": 1}]},
            "should not contain the NUL character",
        ),
        (
            '- {each: "a[*]", name: x, value: v, required: true}',
            {"a": [{"v": 1}, {}]},
            "a[1].v: is missing, and is required",
        ),
        ("- {each: a, required: true}", {}, "a: has no items, and is required"),
        ("- {each: a}", {"a": {"x": {"y": 1}}}, "a.x: Input should be a number, a boolean or a string, is an object"),
        ("- {each: .}", {"x": {"y": 1}}, "x: Input should be a number"),
    ],
)
def test_each_that_is_poison(body: str, payload: Any, what: str) -> None:
    assert what in why(body, payload)


@pytest.mark.parametrize(
    ("body", "payload", "expected"),
    [
        (
            "- {leaves: .}",
            {"a": 1, "b": {"c": True, "d": ["x", {"e": 2}]}, "n": None},
            {"a": 1, "b.c": True, "b.d.0": "x", "b.d.1.e": 2},
        ),
        ("- {leaves: a.b}", {"a": {"b": {"c": 1}}}, {"c": 1}),
        ("- {leaves: a.b}", {"a": {"b": 5}}, {"b": 5}),
        ("- {leaves: a.b}", {"a": {}}, {}),
        ("- {leaves: .}", [1, {"x": 2}], {"0": 1, "1.x": 2}),
        ("- {leaves: ., except: [a, 'b.*']}", {"a": 1, "b": {"c": 2, "d": {"e": 3}}, "f": 4}, {"f": 4}),
        ("- {leaves: ., except: [b]}", {"a": 1, "b": {"c": {"d": 2}}}, {"a": 1}),
        ("- {leaves: ., except: ['*.id']}", {"a": {"id": 1, "v": 2}, "id": 3}, {"a.v": 2, "id": 3}),
        ("- {leaves: ., only: ['*.v', x]}", {"a": {"id": 1, "v": 2}, "x": 3}, {"a.v": 2, "x": 3}),
        ("- {leaves: ., rename: {a.b: c}}", {"a": {"b": 1}}, {"c": 1}),
        ('- {leaves: a, name: "p.{leaf}"}', {"a": {"b": 1}}, {"p.b": 1}),
        ('- {leaves: a, name: "{device}.{leaf}", rename: {b: x}}', {"a": {"b": 1, "c": 2}}, {"x": 1, "d.c": 2}),
        (
            '- {leaves: "a.{k}", name: "{k}/{leaf}", except: [id]}',
            {"a": {"x": {"id": 1, "v": 2}, "y": {"v": 3}, "z": 4}},
            {"x/v": 2, "y/v": 3},
        ),
        ("- {leaves: ., override: {'*.mv': {divide: 1000, rename: volts}}}", {"a": {"mv": 3042}}, {"volts": 3.042}),
    ],
)
def test_leaves(body: str, payload: Any, expected: dict[str, object]) -> None:
    own = mapped.points(body)
    for _ in range(2):  # the second time its names are known
        assert values_of(own.outcome("t/d", json.dumps(payload))) == expected


def test_leaves_say_where_a_wrong_one_is() -> None:
    assert why("- {leaves: a}", {"a": {"b": [1, "x\0"]}}) == "a.b.1: Input should not contain the NUL character"
    assert "a: is missing, and is required" in why("- {leaves: a, required: true}", {})
    assert "should have 1 to 256 characters" in why("- {leaves: .}", {"x" * 200: {"y" * 200: 1}})


def test_a_name_that_is_made_of_the_topic_is_not_kept_for_another_topic() -> None:
    own = mapped.points('- {leaves: ., name: "{device}.{leaf}"}')
    assert values_of(own.outcome("t/d1", '{"a": 1}')) == {"d1.a": 1}
    assert values_of(own.outcome("t/d2", '{"a": 1}')) == {"d2.a": 1}


@pytest.mark.parametrize(
    ("body", "payload", "expected"),
    [
        ('- zip: {name: "n[*]", value: "v[*]"}', {"n": ["a", "b"], "v": [1, 2]}, {"a": 1, "b": 2}),
        ("- zip: {value: v}", {"v": [1, 2]}, {"0": 1, "1": 2}),
        ("- {zip: {name: n, value: v, q: q}, only: {q: 1}}", {"n": ["a", "b"], "v": [1, 2], "q": [0, 1]}, {"b": 2}),
        ("- zip: {name: n, value: v}", {}, {}),
    ],
)
def test_zip(body: str, payload: Any, expected: dict[str, object]) -> None:
    assert values(body, payload) == expected


@pytest.mark.parametrize(
    ("payload", "what"),
    [
        ({"n": ["a"], "v": [1, 2]}, "n: expected arrays of one length: n has 1, v has 2"),
        ({"n": ["a"], "v": 1}, "v: Input should be an array"),
        ({"n": [None], "v": [1]}, "item 0: name is null, and is the point's name"),
    ],
)
def test_zip_that_is_poison(payload: Any, what: str) -> None:
    assert what in why("- zip: {name: n, value: v}", payload)


CASES = """
- name: status
  cases:
    - {when: {fault: 1}, value: FAULT}
    - {when: {mode: exists}, path: mode}
    - {when: {run: true}, value: RUN}
"""


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"fault": 1, "mode": "eco"}, {"status": "FAULT"}),
        ({"fault": 0, "mode": "eco"}, {"status": "eco"}),
        ({"run": True, "mode": None}, {"status": "RUN"}),
        ({"run": 1}, {}),
    ],
)
def test_cases(payload: Any, expected: dict[str, object]) -> None:
    assert values(CASES, payload) == expected


def test_the_same_point_twice_is_counted() -> None:
    own = mapped.points('- {each: "a[*]", name: "{.n}", value: v, unit: "{.u}"}')
    same, other = {"n": "A", "v": 1, "u": "C"}, {"n": "A", "v": 1, "u": "F"}
    outcome = own.outcome("t/d", json.dumps({"a": [same, same, other, other | {"v": 2}]}))
    assert isinstance(outcome, Decoded)
    assert [(row.v_num, row.unit) for row in rows_of(outcome)] == [(1, "C")]
    measures = [one for one in outcome.rows if isinstance(one, Measures)]
    assert (outcome.same_point, [one.repeated for one in measures]) == (2, [1])


def test_a_point_that_its_unit_tells_apart() -> None:
    body = '- {each: "a[*]", name: "{.n}", value: v, unit: "{.u}", units: {Cel: C}, distinct_by: unit}'
    assert values(body, {"a": [{"n": "A", "v": 1, "u": "Cel"}, {"n": "A", "v": 2, "u": "%"}, {"n": "A", "v": 3}]}) == {
        "A_C": 1,
        "A_%": 2,
        "A": 3,
    }


def test_units_by_name() -> None:
    own = mapped.points("- {leaves: ., units: {t: C, '*.h': '%'}, rename: {t: temp}}")
    rows = rows_of(own.outcome("t/d", '{"t": 1, "in": {"h": 2}, "x": 3}'))
    assert [(row.point_id, row.unit) for row in rows] == [("temp", "C"), ("in.h", "%"), ("x", None)]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{.id}", "AB-1 x"),
        ("{.id|lower}", "ab-1 x"),
        ("{.id|nosep}", "AB1x"),
        ("{.path|last:/}", "c"),
        ("{.path|first:/}", "a"),
        ("{.none|default:z}", "z"),
        ("{.null|default:z}", "z"),
        ("{.none|or:.id}", "AB-1 x"),
        ("{.none|or:device|upper}", "D"),
        ("{.flag}{.n}{.f}", "true510.0"),
        ("{.pad|trim:_}", "x"),
    ],
)
def test_templates(template: str, expected: str) -> None:
    payload = {"id": "AB-1 x", "path": "a/b/c", "null": None, "flag": True, "n": 5, "f": 10.0, "pad": "__x_", "v": 1}
    assert values(f'- {{path: v, name: "{template}"}}', payload) == {expected: 1}


names = st.text(alphabet="ab.*", max_size=8)


@given(st.text(alphabet="ab.", max_size=10), st.lists(names.filter(lambda name: "*" in name), min_size=1, max_size=3))
@example("a", ["a*a"])
def test_a_star_is_any_characters(name: str, globs: list[str]) -> None:
    assert compile_names(Names(frozenset({"exact"}), tuple(globs)))(name) is any(_matches(glob, name) for glob in globs)


def _matches(glob: str, name: str) -> bool:
    if not glob:
        return not name
    if glob[0] == "*":
        return any(_matches(glob[1:], name[at:]) for at in range(len(name) + 1))
    return name[:1] == glob[0] and _matches(glob[1:], name[1:])
