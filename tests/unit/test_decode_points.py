"""The points of a `telem` v1 message: a value goes to the column of its type, or is rejected with its place."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.decoding import NOW, decoded, entry, reason, v1, v1_routes
from tests.support.rows import measures_in
from traksense_ingest.writer.outcome import Decoded


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
    (row,) = measures_in(decoded(v1({"name": "p"} | point)))
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


def test_constants_that_only_look_like_numbers_are_fine_in_text() -> None:
    (row,) = measures_in(decoded(v1({"name": "p", "v": "NaN or Infinity"})))
    assert row.v_text == "NaN or Infinity"


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    (row,) = measures_in(decoded(v1({"name": "p", "v": "\\u0000"}, meta={"a": "\\u0000"})))
    assert row.v_text == "\\u0000"


def test_of_points_that_are_wrong_the_first_is_named() -> None:
    text = reason(v1({"name": "a", "v": 1}, *[{"name": "", "v": 1}] * 7))
    assert text == "parse_error: points.1.name: String should have at least 1 character"


def test_the_first_of_a_name_is_stored_and_the_rest_are_counted() -> None:
    """A repetition is a duplicate; another value, type or unit is another reading, and is lost."""
    first, second = {"name": "a", "v": 1, "u": "W"}, {"name": "b", "v": 2}
    others = [{**first, "v": 3}, {**first, "v": "1"}, {**first, "v": True}, {**first, "u": "kW"}, {"name": "a", "v": 1}]
    outcome = decoded(v1(first, second, first, *others, second, {**first, "t": "num"}))
    assert [(row.point_id, row.v_num) for row in measures_in(outcome)] == [("a", 1.0), ("b", 2.0)]
    assert (measures_in(outcome).repeated, outcome.same_point, outcome.mapping) == (3, len(others), "")


def test_ten_thousand_points_are_allowed() -> None:
    decoder = v1_routes(max_payload_bytes=10**7, max_future_s=0, clock=lambda: NOW)
    outcome = decoder.decode(entry(v1(*({"name": f"p{n}", "v": n} for n in range(10_000)))))
    assert isinstance(outcome, Decoded)
    assert len(measures_in(outcome)) == 10_000
