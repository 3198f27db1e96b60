"""YAML as mapping files have it: the core schema of YAML 1.2, with places, and nothing that surprises."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.budget import examples
from traksense_ingest.shared.mapping.read.nodes import Entries, Invalid, Items, Leaf, Node, compose, resolve


def composed(text: str) -> tuple[Node, list[str]]:
    faults: list[str] = []
    return compose(text, lambda node, what: faults.append(f"{node.line}:{node.column}: {what}")), faults


TEXTS = "ON off yes No y 12:30 1:30:00 0777 1_000 0b1 2026-11-28 1e 0x .inf .NaN 1e999 + . = nULL tRUE 1.2.3 1,5 -x é"


@pytest.mark.parametrize("text", TEXTS.split())
def test_what_is_a_text(text: str) -> None:
    assert resolve(text) == text
    node, _ = composed(f"a: {text}")
    assert isinstance(node, Entries)
    assert node.entries[0][1] == Leaf(1, 4, text, text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-7", -7),
        ("+3", 3),
        ("0", 0),
        ("0x1F", 31),
        ("0o17", 15),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("-2.5e3", -2500.0),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
    ],
)
def test_what_is_none(text: str, value: object) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


def test_what_is_quoted_is_a_text() -> None:
    node, _ = composed("- '1'\n- \"true\"\n- |\n  7\n")
    assert isinstance(node, Items)
    assert [item.value for item in node.items if isinstance(item, Leaf)] == ["1", "true", "7\n"]


def test_places() -> None:
    node, _ = composed("a:\n  - {b: 1,\n     ç: 2}\n")
    assert isinstance(node, Entries)
    items = node.entries[0][1]
    assert isinstance(items, Items)
    inner = items.items[0]
    assert isinstance(inner, Entries)
    assert [(key.line, key.column, value.line, value.column) for key, value in inner.entries] == [
        (2, 6, 2, 9),
        (3, 6, 3, 9),
    ]


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("", (1, 1), "empty"),
        ("# nothing\n", (1, 1), "empty"),
        ("a: &x 1", (1, 4), "anchors and aliases"),
        ("a: 1\nb: *a", (2, 4), "anchors and aliases"),
        ("a: !!int 1", (1, 4), "tags (tag:yaml.org,2002:int) are not allowed"),
        ("a: !x 1", (1, 4), "tags (!x) are not allowed"),
        ("a: 1\n---\nb: 2", (2, 1), "a second document"),
        ("a: [1, 2", (1, 9), "not valid YAML"),
        ("a: b: c", (1, 5), "not valid YAML: mapping values are not allowed"),
        ("a: '1\n", (2, 1), "not valid YAML"),
        ("ok: 1\nb: \x07", (2, 4), "not valid YAML"),
        ("[" * 100, (1, 65), "nested more than 64 deep"),
        ("{a: " * 100, (1, 1 + 4 * 64), "nested more than 64 deep"),
    ],
)
def test_what_is_refused(text: str, place: tuple[int, int], what: str) -> None:
    with pytest.raises(Invalid) as caught:
        composed(text)
    assert what in str(caught.value)
    assert (caught.value.line, caught.value.column) == place or "not valid YAML" in what


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: 1\na: 2", "2:1: duplicate key a, first used in line 1"),
        ("{x: {1: a, 1: b}}", "1:12: duplicate key 1, first used in line 1"),
        ("<<: {a: 1}", "1:1: merge keys (<<) are not allowed"),
        ("? [a]\n: 1", "1:3: a key must be a string"),
    ],
)
def test_keys_that_are_wrong(text: str, fault: str) -> None:
    assert composed(text)[1][0].startswith(fault)


def test_keys_of_different_types_are_different() -> None:
    assert composed('{1: a, "1": b, true: c, "true": d, 1.0: e}')[1] == []


def test_64_levels_are_allowed() -> None:
    composed("[" * 64 + "]" * 64)


@settings(max_examples=examples(500), deadline=None)
@given(st.one_of(st.text(), st.text(alphabet="{}[]:,-?&*!|>'\"%@`#\n a1~<", max_size=60)))
@example("\ufeff")
@example("- - - - a")
@example("%YAML 1.1\n---\na")
def test_any_text_is_a_node_or_invalid(text: str) -> None:
    content = text.encode(errors="replace").decode()
    place = (1, 1)
    try:
        composed(content)
    except Invalid as invalid:
        place = invalid.line, invalid.column
    assert min(place) >= 1
