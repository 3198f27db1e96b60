"""Paths, templates and topics as they are written."""

from __future__ import annotations

import pytest

from traksense_ingest.shared.mapping.filled import filled
from traksense_ingest.shared.mapping.read.paths import Wrong, path_of, template_of
from traksense_ingest.shared.mapping.read.topics import pattern_of
from traksense_ingest.shared.mapping.text import Each, Index, Key, Over, Path, Root, Step


@pytest.mark.parametrize(
    ("text", "root", "steps"),
    [
        (".", Root.ITEM, ()),
        ("$", Root.MESSAGE, ()),
        ("^.a", Root.RECORD, (Key("a"),)),
        (".a", Root.ITEM, (Key("a"),)),
        ("a.b[0].c[-1]", Root.ITEM, (Key("a"), Key("b"), Index(0), Key("c"), Index(-1))),
        ('a["b.c"][\'d"\']', Root.ITEM, (Key("a"), Key("b.c"), Key('d"'))),
        ("$[0].switch:0", Root.MESSAGE, (Index(0), Key("switch:0"))),
        ("Level mm", Root.ITEM, (Key("Level mm"),)),
        ("@site", Root.CAPTURE, (Key("site"),)),
        ("a[*]", Root.ITEM, (Key("a"), Each(Over.ITEMS))),
        ("{device}[*]", Root.ITEM, (Each(Over.KEYS, "device"), Each(Over.ITEMS))),
        ("a[{i}].{k}", Root.ITEM, (Key("a"), Each(Over.ITEMS, "i"), Each(Over.KEYS, "k"))),
    ],
)
def test_paths(text: str, root: Root, steps: tuple[Step, ...]) -> None:
    assert path_of(text) == Path(text, root, steps)


@pytest.mark.parametrize(
    "text", ["a..b", "a.", "a[", "a]", "a{b}", "a.*", "*", "$x", "@", "@a.b", "a[*", "{a b}", "a[1.5]"]
)
def test_what_is_no_path(text: str) -> None:
    with pytest.raises(Wrong):
        path_of(text)


@pytest.mark.parametrize(
    ("text", "captures", "result"),
    [
        ("{a}/{b}", {"a": "x", "b": "y"}, "x/y"),
        ("{{{a}}}", {"a": "x"}, "{x}"),
        ("{a|lower|nosep}", {"a": "A4:C1-38_0.1 x"}, "a4c13801x"),
        ("{a|upper}", {"a": "é"}, "É"),
        ("{a|last:/}{a|first:/}", {"a": "x/y/z"}, "zx"),
        ("{a|last:/}", {"a": "x"}, "x"),
        ("{a|trim:_}{a|trim}", {"a": "_x _"}, "x _x _"),
        ("{a|default:none}", {"a": ""}, "none"),
        ("{a|or:b|upper}", {"a": "", "b": "y"}, "Y"),
        ('{a|last:["|"]}', {"a": 'x["|"]y'}, "y"),
    ],
)
def test_templates_of_captures(text: str, captures: dict[str, str], result: str) -> None:
    assert filled(template_of(text), captures) == result


@pytest.mark.parametrize(
    "text", ["{", "}", "{}", "{a b}", "{a|}", "{a|last}", "{a|lower:x}", "{a|or:}", "{.a[*]}", "{a}}", "{a{b}}"]
)
def test_what_is_no_template(text: str) -> None:
    with pytest.raises(Wrong):
        template_of(text)


def test_a_long_text_of_brackets_takes_no_longer_than_it_is_long() -> None:
    """As a pattern that tries again it would take for ever."""
    with pytest.raises(Wrong):
        template_of("{" + '["a"]' * 5_000)


def test_the_filters_of_a_topic() -> None:
    assert pattern_of("a/{x}/{k:b|c}/{y}@{z}/{rest...}").filters == ("a/+/b/+/#", "a/+/c/+/#")
    assert pattern_of("a/+/#").captures == ()
    assert pattern_of("{x}/{k:a|b}/{r...}").captures == ("x", "k", "r")
