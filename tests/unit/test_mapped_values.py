"""What a point does to a value: tables, arithmetic, types, and which column it is stored in."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import mapped
from tests.support.budget import examples
from tests.support.mapped import reason_of, rows_of
from traksense_ingest.writer.decode.mapped.arithmetic import compile_arithmetic

NOTHING = (None, None, None)


def columns(modifiers: str, value: str) -> tuple[object, ...] | None:
    """v_num, v_bool, v_text; None where there is no row."""
    own = mapped.points(f"- {{path: v{', ' if modifiers else ''}{modifiers}}}")
    rows = rows_of(own.outcome("t/d", f'{{"v": {value}}}'))
    return (rows[0].v_num, rows[0].v_bool, rows[0].v_text) if rows else None


def why(modifiers: str, value: str) -> str:
    own = mapped.points(f"- {{path: v{', ' if modifiers else ''}{modifiers}}}")
    return reason_of(own.outcome("t/d", f'{{"v": {value}}}')).removeprefix("parse_error: test/r: ")


@pytest.mark.parametrize(
    ("modifiers", "value", "expected"),
    [
        ("", "4.5", (4.5, None, None)),
        ("", "4", (4.0, None, None)),
        ("", "18446744073709551615", (1.8446744073709552e19, None, None)),
        ("", "true", (None, True, None)),
        ("", '"RUN"', (None, None, "RUN")),
        ("", '"4.5"', (None, None, "4.5")),
        ("", "null", None),
        ("null: row", "null", NOTHING),
        ("absent: [9999.9999, unavailable]", "9999.9999", None),
        ("absent: [9999.9999, unavailable]", '"unavailable"', None),
        ("absent: [1]", "true", (None, True, None)),
        ("absent: [-1], null: row", "-1", NOTHING),
        ("absent: [-1], null: row", "-1.0", NOTHING),
        ("numbers_in_text: true", '" -18.4 "', (-18.4, None, None)),
        ("numbers_in_text: true", '"+1e3"', (1000.0, None, None)),
        ("numbers_in_text: true", '"NaN"', None),
        ("numbers_in_text: true, null: row", '"-inf"', NOTHING),
        ("numbers_in_text: true", '"4,5"', (None, None, "4,5")),
        ("numbers_in_text: true", '"0x10"', (None, None, "0x10")),
        ("numbers_in_text: true", '"12345678901234567890123"', (1.2345678901234568e22, None, None)),
        ('bools: {true: ["on"], false: ["off"]}', '"ON"', (None, True, None)),
        ('bools: {true: ["on"], false: ["off"]}', '" off"', (None, False, None)),
        ('bools: {true: ["on"], false: ["off"]}', '"stuck"', (None, None, "stuck")),
        ("map: {0: stop, 1: run}", "1", (None, None, "run")),
        ("map: {0: stop, 1: run}", "1.0", (None, None, "run")),
        ("map: {0: stop, 1: run}", "null", None),
        ("map: {a: 1, b: true}", '"b"', (None, True, None)),
        ("map: {0: stop}, else: skip", "7", None),
        ("map: {0: stop}, else: keep", "7", (7.0, None, None)),
        ("map: {0: stop}, else: keep", "false", (None, False, None)),
        ('numbers_in_text: true, map: {1: "on"}', '"1"', (None, None, "on")),
        ("divide: 10", "-183", (-18.3, None, None)),
        ("divide: 10", "0.3", (0.03, None, None)),
        ("scale: 0.1", "235", (23.5, None, None)),
        ("scale: 1.8, offset: 32", "21.5", (70.7, None, None)),
        ("offset: -273.15", "293.15", (20.0, None, None)),
        ("divide: 10", '"n/a"', (None, None, "n/a")),
        ("type: bool", "1", (None, True, None)),
        ("type: bool", "0.0", (None, False, None)),
        ("type: text", "17", (None, None, "17")),
        ("type: text", "1.50", (None, None, "1.5")),
        ("type: text", "false", (None, None, "false")),
        ("type: number", "17", (17.0, None, None)),
    ],
)
def test_a_value(modifiers: str, value: str, expected: tuple[object, ...] | None) -> None:
    found = columns(modifiers, value)
    assert found == expected
    assert found is None or [type(one) for one in found] == [type(one) for one in expected or ()]


@pytest.mark.parametrize(
    ("modifiers", "value", "what"),
    [
        ("", "{}", "v: Input should be a number, a boolean or a string, is an object"),
        ("", "[1]", "v: Input should be a number, a boolean or a string, is an array"),
        ("", r'"a\u0000b"', "v: Input should not contain the NUL character"),
        ("map: {0: stop, 1: run}", "2", "v: 2 is not in the map, which has 0, 1"),
        ("map: {0: stop, 1: run}", "true", "v: true is not in the map, which has 0, 1"),
        ("map: {0: stop}", "[]", "v: an array is not in the map, which has 0"),
        ("type: number", '"17"', 'v: Input should be a number, is "17"'),
        ("type: number", "true", "v: Input should be a number, is true"),
        ("type: bool", "2", "v: Input should be true, false, 0 or 1, is 2"),
        ("type: bool", '"on"', 'v: Input should be true, false, 0 or 1, is "on"'),
        ("scale: 1000000000000", "1e300", "v: Input should be a finite number"),
        ("numbers_in_text: true", '"1e999"', "v: Input should be a finite number"),
    ],
)
def test_a_value_that_is_poison(modifiers: str, value: str, what: str) -> None:
    assert why(modifiers, value) == what


def test_what_is_missing() -> None:
    assert rows_of(mapped.points("- {path: v}").outcome("t/d", "{}")) == []
    reason = reason_of(mapped.points("- {path: a.v, required: true}").outcome("t/d", '{"a": {}}'))
    assert reason == "parse_error: test/r: a.v: is missing, and is required"


decimals = st.decimals(-(10**6), 10**6, places=3)


@settings(max_examples=examples(2000))
@given(
    st.integers(-(2**63), 2**64) | st.floats(allow_nan=False, allow_infinity=False),
    decimals,
    decimals.filter(bool),
    decimals,
)
def test_arithmetic_is_exact_and_rounded_once(value: float, scale: Decimal, divide: Decimal, offset: Decimal) -> None:
    """The float that is nearest to what the decimals say."""
    exact = Fraction(Decimal(repr(value))) * Fraction(scale) / Fraction(divide) + Fraction(offset)
    try:
        expected = exact.numerator / exact.denominator
    except OverflowError:
        expected = math.inf
    if abs(expected) < math.inf:
        assert compile_arithmetic(scale, divide, offset)(value) == expected


@given(st.integers(-(10**9), 10**9), st.integers(0, 6))
def test_tenths_are_what_a_person_writes(value: int, places: int) -> None:
    found = compile_arithmetic(None, Decimal(10**places), None)(value)
    assert found == float(f"{Decimal(value) / 10**places}")


def test_a_unit() -> None:
    own = mapped.points('- {each: "a[*]", name: "{.n}", value: v, unit: "{.u}", units: {Cel: "°C"}}')
    payload = json.dumps(
        {
            "a": [
                {"n": "a", "v": 1, "u": "Cel"},
                {"n": "b", "v": 1, "u": "V"},
                {"n": "c", "v": 1},
                {"n": "d", "v": 1, "u": ""},
            ]
        }
    )
    assert [row.unit for row in rows_of(own.outcome("t/d", payload))] == ["°C", "V", None, None]
    for wrong, what in (("x" * 65, "a[0].v: the unit should have at most 64 characters, has 65"), ("\0", "NUL")):
        assert what in reason_of(own.outcome("t/d", json.dumps({"a": [{"n": "a", "v": 1, "u": wrong}]})))
