"""Topics → routes: the tree finds what trying each route in order would, and more routes don't make it dearer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.support.budget import examples
from tests.support.mappings import route
from traksense_ingest.shared.mapping.model import Route
from traksense_ingest.shared.mapping.read.paths import Wrong
from traksense_ingest.shared.mapping.read.topics import pattern_of
from traksense_ingest.shared.mapping.router import Router, split
from traksense_ingest.shared.mapping.text import Capture, Level, TopicPattern

ANY = route('topics: "{tenant}/{site}/{device}"')


def routes(*topics: str | tuple[str, str]) -> list[Route]:
    """Routes of a topic each, or of a topic and one that is excepted."""
    pairs = [(topic, None) if isinstance(topic, str) else topic for topic in topics]
    return [
        replace(ANY, name=f"r{index}", topics=(pattern_of(topic),), except_topics=(pattern_of(but),) if but else ())
        for index, (topic, but) in enumerate(pairs)
    ]


def found(router: Router, topic: str) -> list[tuple[int, dict[str, str]]]:
    return [(candidate.position, candidate.captures) for candidate in router.candidates(topic.encode())]


def router_of(*topics: str | tuple[str, str]) -> Router:
    return Router(routes(*topics))


@pytest.mark.parametrize(
    ("pattern", "topic", "captures"),
    [
        ("a/b", "a/b", {}),
        ("a/b", "a", None),
        ("a/{x}", "a/b", {"x": "b"}),
        ("a/{x}", "a/", None),
        ("a/+", "a/", {}),
        ("a/{x}/c", "a/b/c", {"x": "b"}),
        ("a/{x...}", "a/b/c", {"x": "b/c"}),
        ("a/{x...}", "a/b//", {"x": "b//"}),
        ("a/{x...}", "a", None),
        ("a/{x...}", "a/", None),
        ("a/#", "a", {}),
        ("a/#", "a/b/c", {}),
        ("a/{k:up|down}", "a/up", {"k": "up"}),
        ("a/{k:up|down}", "a/left", None),
        ("v3/{app}@{org}/x", "v3/cold@ttn/x", {"app": "cold", "org": "ttn"}),
        ("v3/{app}@{org}/x", "v3/cold@a@b/x", {"app": "cold", "org": "a@b"}),
        ("v3/{app}@{org}/x", "v3/@ttn/x", None),
        ("v3/{app}@{org}/x", "v3/cold@/x", None),
        ("v3/{app}@{org}/x", "v3/@@@/x", {"app": "@", "org": "@"}),
        ("n-{id}", "n-7", {"id": "7"}),
        ("n-{id}", "n-", None),
        ("{id}-n", "n-n", {"id": "n"}),
        ("{id}.{k:up|down}", "a.up", {"id": "a", "k": "up"}),
        ("{a}{k:up|down}", "xup", {"a": "x", "k": "up"}),
        ("aba{x}aba", "ababa", None),
        ("{a}", "é", {"a": "é"}),
        ("+/x", "$SYS/x", None),
        ("#", "$SYS/x", None),
        ("{x}/x", "$SYS/x", None),
        ("{x...}", "$SYS/x", None),
        ("$SYS/{x}", "$SYS/x", {"x": "x"}),
        ("$aws/#", "$aws/things/1", {}),
        ("+/{x}", "a/$b", {"x": "$b"}),
    ],
)
def test_what_a_topic_is_to_a_pattern(pattern: str, topic: str, captures: dict[str, str] | None) -> None:
    expected = [] if captures is None else [(0, captures)]
    assert found(router_of(pattern), topic) == expected


def test_routes_are_tried_in_their_order() -> None:
    router = router_of("#", "a/{x}", "a/b", "+/b", "{k:a|b}/{y...}", "z")
    assert [position for position, _ in found(router, "a/b")] == [0, 1, 2, 3, 4]


def test_the_first_of_a_routes_topics_captures() -> None:
    one = replace(ANY, topics=(pattern_of("a/{x}/+"), pattern_of("a/{x...}")))
    assert found(Router([one]), "a/b/c") == [(0, {"x": "b"})]


def test_excepted_topics() -> None:
    router = router_of(("z/{x...}", "z/+/availability"), ("z/{x...}", "z/bridge/#"))
    assert [position for position, _ in found(router, "z/a/availability")] == [1]
    assert [position for position, _ in found(router, "z/bridge/state")] == [0]
    assert [position for position, _ in found(router, "z/bridge")] == [0]


def test_a_topic_that_is_not_utf8_has_no_route() -> None:
    assert router_of("#").candidates(b"a/\xff") == []


LEVELS = st.sampled_from(["a", "b", "", "$x", "a@b", "@", "ab", "n-1", "n-"])
TOPICS = st.lists(LEVELS, min_size=1, max_size=4).map("/".join)
PATTERN_LEVELS = st.sampled_from(
    ["a", "b", "", "$x", "+", "{x}", "{y}", "{x:a|b}", "{x}@{y}", "n-{x}", "{y}b", "{x}@{k:a|b}"]
)
ENDS = st.sampled_from(["", "/#", "/{r...}"])
PATTERNS = st.tuples(st.lists(PATTERN_LEVELS, min_size=1, max_size=4).map("/".join), ENDS).map("".join)


def matches(pattern: TopicPattern, levels: list[str]) -> dict[str, str] | None:
    """The plain way: level by level."""
    if levels[0].startswith("$") and (not pattern.levels or pattern.levels[0].literal is None):
        return None
    rest = levels[len(pattern.levels) :]
    if len(levels) < len(pattern.levels) or (rest and not pattern.rest):
        return None
    captures: dict[str, str] = {}
    for level, text in zip(pattern.levels, levels, strict=False):
        ways = dict(level_captures(level.parts, text))
        if not ways:
            return None
        captures |= next(iter(ways.values()))
    if pattern.rest and pattern.rest.name:
        if not any(rest):
            return None
        captures[pattern.rest.name] = "/".join(rest)
    return captures


def level_captures(parts: tuple[str | Capture, ...], text: str) -> list[tuple[str, dict[str, str]]]:
    """All ways in which parts can be a text, those with short captures first."""
    if not parts:
        return [] if text else [("", {})]
    first, *others = parts
    if isinstance(first, str):
        return level_captures(tuple(others), text[len(first) :]) if text.startswith(first) else []
    if len(parts) == 1 and first.name is None:
        return [(text, {})]
    return [
        (text[:end], {**({first.name: text[:end]} if first.name else {}), **captures})
        for end in range(1, len(text) + 1)
        if not first.choices or text[:end] in first.choices
        for _, captures in level_captures(tuple(others), text[end:])
    ]


@settings(max_examples=examples(1000), deadline=None)
@given(st.lists(PATTERNS, min_size=1, max_size=6), st.lists(TOPICS, min_size=1, max_size=6))
def test_the_tree_finds_what_trying_each_pattern_finds(patterns: list[str], topics: list[str]) -> None:
    parsed = []
    for text in patterns:
        try:
            parsed.append(pattern_of(text))
        except Wrong:
            assume(False)
    router = Router([replace(ANY, topics=(each,)) for each in parsed])
    for topic in topics:
        ways = [(index, matches(each, topic.split("/"))) for index, each in enumerate(parsed)]
        assert found(router, topic) == [(index, way) for index, way in ways if way is not None]


def steps(count: int) -> int:
    """Nodes that are visited for one topic among so many routes of all kinds."""
    topics = [f"plant{index}/{{device}}/data" for index in range(count)]
    topics += [f"site/n{index}-{{device}}/data" for index in range(count)]
    topics += [f"{{org}}/x{index}/{{rest...}}" for index in range(count)]
    router = router_of(*topics)
    assert [position for position, _ in found(router, "plant7/d1/data")] == [7]
    assert [position for position, _ in found(router, "site/n7-d1/data")] == [count + 7]
    assert [position for position, _ in found(router, "acme/x7/a/b")] == [2 * count + 7]
    return router.steps


def test_ten_thousand_routes_take_no_more_steps_than_ten() -> None:
    assert steps(3_334) == steps(10)


def test_candidates_that_capture_the_same_share_it() -> None:
    """It is remembered for each topic."""
    one, two, other = router_of("a/{x}", "{_}/b", "a/{x}").candidates(b"a/b")
    assert one.captures == other.captures == {"x": "b"}
    first, second = router_of("a/{x}", "+/{x}").candidates(b"a/b")
    assert first.captures is second.captures
    assert two.captures == {"_": "a"}


@pytest.mark.parametrize("text", ["-" * 60_000, "ab" * 30_000])
def test_a_long_level_takes_a_search_for_each_text_between(text: str) -> None:
    """No backtracking: as a regular expression this would take minutes."""
    captures = [part for _ in range(12) for part in (Capture("x"), "-b")]
    assert split(Level((*captures, Capture("y"), "!")), text) is None
