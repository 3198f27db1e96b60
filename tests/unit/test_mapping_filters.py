"""What receivers subscribe to, and the shard of a topic."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.budget import examples
from tests.support.mappings import mapping, route, whole_library
from traksense_ingest.shared.mapping.filters import uncovered
from traksense_ingest.shared.mapping.load import load
from traksense_ingest.shared.mapping.mappings import Mappings, Shards
from traksense_ingest.shared.messages import FILTERS, device_of


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        (["a/b", "a/b"], ["a/b"]),
        (["a/+", "a/b"], ["a/+"]),
        (["a/b", "a/#"], ["a/#"]),
        (["a", "a/#"], ["a/#"]),
        (["a/+/#", "a/#"], ["a/#"]),
        (["a/#", "a/+/#"], ["a/#"]),
        (["a/+", "a/+/#"], ["a/+/#"]),
        (["a", "a/+/#"], ["a", "a/+/#"]),
        (["+/b", "a/+"], ["+/b", "a/+"]),
        (["#", "a/b", "$aws/x", "$aws/#"], ["#", "$aws/#"]),
        (["+/x", "$aws/x"], ["+/x", "$aws/x"]),
        (["a//b", "a/+/b"], ["a/+/b"]),
    ],
)
def test_filters_that_others_cover_are_left_out(filters: list[str], left: list[str]) -> None:
    assert uncovered(filters) == left


LEVELS = st.sampled_from(["a", "b", "+", "", "$x"])
FILTER = st.tuples(st.lists(LEVELS, min_size=1, max_size=3).map("/".join), st.sampled_from(["", "/#"])).map("".join)
TOPIC = st.lists(st.sampled_from(["a", "b", "", "$x", "c"]), min_size=1, max_size=4).map("/".join)


def matches(name: str, topic: str) -> bool:
    """As MQTT 5, section 4.7 has it."""
    if topic.startswith("$") and name[:1] in ("+", "#"):
        return False
    wanted, levels = name.split("/"), topic.split("/")
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(levels) or level not in ("+", levels[index]):
            return False
    return len(wanted) == len(levels)


@settings(max_examples=examples(2000), deadline=None)
@given(st.lists(FILTER.filter(bool), min_size=1, max_size=6), st.lists(TOPIC.filter(bool), min_size=1, max_size=8))
def test_no_topic_is_lost(filters: list[str], topics: list[str]) -> None:
    left = uncovered(filters)
    for topic in topics:
        assert any(matches(name, topic) for name in filters) == any(matches(name, topic) for name in left)


@settings(max_examples=examples(500), deadline=None)
@given(st.lists(FILTER.filter(bool), min_size=1, max_size=6))
def test_nothing_that_is_left_covers_another(filters: list[str]) -> None:
    left = uncovered(filters)
    assert uncovered(left) == left
    for name in left:
        assert uncovered([name, *(other for other in left if other != name)])[0] == name


def test_v1_is_what_mqtt_topics_has() -> None:
    assert load().filters() == []


def test_the_filters_of_the_library() -> None:
    filters = load(whole_library()).filters()
    assert "zigbee2mqtt/#" in filters
    assert "spBv1.0/+/DDATA/+/+" in filters
    assert not any(name.startswith("zigbee2mqtt/bridge") for name in filters)
    assert uncovered([*FILTERS, *filters]) == [*FILTERS, *(name for name in filters if name not in FILTERS)]


def key_of(text: str, topic: str, head: str = "version: 1\nname: m\n") -> bytes | None:
    return Shards([route(text, head)]).key(topic.encode())


def test_a_shard_is_the_tenant_and_the_device_of_the_topic() -> None:
    assert key_of('topics: "{tenant}/{site}/{device}/x"', "acme/plant1/d1/x") == b"acme/d1"


def test_v1s_shards_are_as_they_were() -> None:
    topic = b"traksense/acme/plant1/chiller-7/telem"
    assert Shards(load().routes).key(topic) == device_of(topic)


def test_a_shard_that_the_file_says() -> None:
    head = 'version: 1\nname: m\ntenant: acme\nshard: "{group}/{node|lower}"\n'
    text = 'topics: "{group}/{node}/{unit}"\nidentity: {site: s, device: "{.id}"}'
    assert key_of(text, "g/N1/u", head) == b"g/n1"


def test_a_device_in_the_payload_makes_the_whole_topic_the_key() -> None:
    assert key_of('topics: "{tenant}/{site}/x"\nidentity: {device: "{.id}"}', "acme/plant1/x") is None


def test_a_tenant_in_the_file_and_a_device_of_the_topic() -> None:
    text = 'topics: "x/{device}"\nidentity: {site: s, device: "{device|lower|nosep}"}'
    assert key_of(text, "x/A4:01", "version: 1\nname: m\ntenant: acme\n") == b"acme/a401"


def test_a_name_that_records_capture_is_not_of_the_topic() -> None:
    text = 'topics: "x/{tenant}"\nrecords: "{device}[*]"\nidentity: {site: s}'
    assert key_of(text, "x/acme") is None


def test_a_route_without_rows_leaves_the_key_to_the_next() -> None:
    text = """version: 1
name: m
routes:
  - {name: wrapped, topics: "x/{tenant}/#", when: {topic: exists}, envelope: {payload: payload, topic: topic}}
  - {name: plain, topics: "x/{tenant}/{site}/{device}", time: received, points: []}
"""
    mappings = Mappings((mapping(text),), frozenset(["m"]))
    assert Shards(mappings.routes).key(b"x/acme/s/d") == b"acme/d"
    assert Shards(mappings.routes).key(b"x/acme/s") is None
    assert mappings.filters() == ["x/+/#"]
