"""Filters that take all topics of others, or some: as MQTT matches topics, one by one."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from traksense_ingest.ops.mapping.cover import Filters

NAMES = ("a", "b", "$s", "")
TOPICS = ["/".join(levels) for depth in (1, 2, 3) for levels in product(NAMES, repeat=depth)]
LEVELS = st.lists(st.sampled_from(["a", "b", "+", "$s"]), min_size=1, max_size=2)
FILTERS = st.builds(lambda levels, rest: "/".join([*levels, *(["#"] if rest else [])]), LEVELS, st.booleans())


def matches(name: str, topic: str) -> bool:
    """Of the specification of MQTT, in its words."""
    wanted, levels = name.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False
    if wanted[-1] == "#":
        wanted, levels = wanted[:-1], levels[: max(len(wanted) - 1, 0)]
    return len(wanted) == len(levels) and all(one in ("+", other) for one, other in zip(wanted, levels, strict=True))


def matched(name: str) -> set[str]:
    return {topic for topic in TOPICS if matches(name, topic)}


@given(FILTERS | st.just("#"), FILTERS)
def test_what_covers_and_what_overlaps(one: str, other: str) -> None:
    filters: Filters[str] = Filters()
    filters.add(one, one)
    assert (filters.covering(other) == one) == (matched(one) >= matched(other))
    assert (filters.overlapping(other) == one) == bool(matched(one) & matched(other))


@given(st.lists(FILTERS, min_size=1, max_size=6), FILTERS)
def test_one_of_several_is_found_if_there_is_one(names: list[str], other: str) -> None:
    filters: Filters[str] = Filters()
    for name in names:
        filters.add(name, name)
    covering, overlapping = filters.covering(other), filters.overlapping(other)
    assert (covering is not None) == any(matched(name) >= matched(other) for name in names)
    assert (overlapping is not None) == any(matched(name) & matched(other) for name in names)
    assert covering is None or matched(covering) >= matched(other)
    assert overlapping is None or matched(overlapping) & matched(other)
