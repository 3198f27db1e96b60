"""`each` over an array, which is read by a loop of its own: it is no other than the one for everything else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import mapped
from tests.support.budget import examples
from tests.support.mapped import Decoding, reason_of, rows_of
from traksense_ingest.writer.outcome import Decoded

BODIES = [
    'name: "{.n}", value: v',
    'name: "{.n}", value: v, required: true',
    'name: "{.n}", value: v, unit: "{.u}", units: {C: "°C"}',
    'name: "{.n}", value: v, only: {n: a}',
    'name: "{.n}", value: v, only: {n: a, u: C}',
    'name: "{.n}", value: v, only: {u: exists}',
    'name: "{.n}", value: v, only: {u: exists, v: {type: number}}',
    'name: "{.n}", value: v, only: {v: [1, null]}',
    'name: "{.n}", value: v, only: {u: absent}',
    'name: "{.n}", value: v, except: ["", a]',
    'name: "{.n}-{.u}", value: v, distinct_by: unit, unit: "{.u}"',
    'name: "{.n}", value: .',
    "name: fixed, value: v",
    "name: a, value: v, except: [a]",
    "name: fixed, value: v, only: {n: a, u: C}",
    'name: "{.n|default:none}", value: v.w, only: {device: {not: x}}',
]
RARELY_A_KEY = 'override: {"never": {unit: "{key}"}}'  # so that what keeps the key of each item is used

texts = st.sampled_from(["a", "b", "C", "", "x" * 257])
items: st.SearchStrategy[Any] = st.one_of(
    st.fixed_dictionaries(
        {},
        optional={
            "n": st.one_of(texts, st.sampled_from([1, 1.5, True, None, [], {}])),
            "v": st.one_of(st.floats(-9, 9), st.sampled_from([1, 2**70, True, "text", None, [], {"w": 1.5}])),
            "u": st.one_of(texts, st.sampled_from([None, 3, {}])),
        },
    ),
    st.sampled_from([None, 1, 2.5, "a", [], [{"n": "a", "v": 1}]]),
)


def decodings(body: str) -> tuple[Decoding, Decoding]:
    """By the loop for arrays, and by the other."""
    one, other = (mapped.points(f'- {{each: "a[*]", {text}}}') for text in (body, f"{body}, {RARELY_A_KEY}"))
    return one, other


PAIRS = {body: decodings(body) for body in BODIES}


def found(decoding: Decoding, payload: Any) -> Any:
    """Rows, or why there are none."""
    outcome = decoding.outcome("t/d", json.dumps(payload))
    if isinstance(outcome, Decoded):
        return rows_of(outcome), outcome.same_point
    return reason_of(outcome)


@pytest.mark.parametrize("body", BODIES)
@given(array=st.lists(items, max_size=6))
@settings(max_examples=examples(300))
def test_arrays_are_no_other_than_objects(body: str, array: list[Any]) -> None:
    one, other = PAIRS[body]
    assert found(one, {"a": array}) == found(other, {"a": array})


def test_a_wrong_item_is_counted_in_the_array_not_among_the_chosen() -> None:
    decoding = mapped.points('- {each: "a[*]", name: "{.n}", value: v, only: {u: exists}}')
    array = [{"n": "a", "v": {}}, {"n": "a", "v": 1, "u": "C"}, {"n": "a", "v": {}, "u": "C"}]
    assert "a[2].v: Input should be" in found(decoding, {"a": array})


def test_an_empty_name_that_is_not_wanted_is_no_other_item_s() -> None:
    decoding = mapped.points('- {each: "a[*]", name: "{.n}", value: v, except: [""]}')
    assert found(decoding, {"a": [{"n": "", "v": 1}]}) == ([], 0)
    rows, _ = found(decoding, {"a": [{"n": "", "v": 1}, {"n": "a", "v": 1}]})
    assert [row.point_id for row in rows] == ["a"]
