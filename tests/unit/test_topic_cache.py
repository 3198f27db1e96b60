"""What is known of topics: bounded in bytes, and still of use when there are more topics than it has room for."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from tests.support.decoding import entry, v1, v1_routes
from tests.support.rows import rows_of
from traksense_ingest.shared.mapping.topic_cache import TopicCache
from traksense_ingest.writer.decode.mapped import identity
from traksense_ingest.writer.decode.mapped import routes as module
from traksense_ingest.writer.decode.mapped.routes import MappedRoutes
from traksense_ingest.writer.entry import Entry
from traksense_ingest.writer.outcome import Decoded, Outcome

MIB = 1024 * 1024
TELEM = v1({"name": "t", "t": "float", "v": 1.5, "u": "C"})
PARSEC = '{"di1":1,"ts":"2025-10-07T02:34:56Z"}'


def cache_of(values: int) -> TopicCache[int]:
    return TopicCache(100 * values, lambda _topic, _value: 100)


def topic(number: int) -> bytes:
    return b"traksense/tenant/site/device-%06d/telem" % number


def test_it_keeps_what_it_has_room_for() -> None:
    cache = cache_of(1_000)
    for number in range(1_000):
        cache.keep(topic(number), number)
    assert [cache.get(topic(number)) for number in range(1_000)] == list(range(1_000))


def test_a_fleet_with_some_more_topics_than_there_is_room_for_finds_most_of_them() -> None:
    """In turn: if the ones that were used least recently were dropped, it would find none."""
    cache, found = cache_of(1_000), 0
    for _ in range(20):
        for number in range(1_200):
            found += cache.get(topic(number)) is not None
            cache.keep(topic(number), number)
    assert found > 20 * 1_200 / 2


def test_its_size_is_what_is_in_it() -> None:
    """Values of very different sizes: what was dropped is not counted, what was kept twice is counted once."""
    cache = TopicCache[int](10_000, lambda _topic, value: value)
    for number in range(10_000):
        cache.keep(topic(number), 10 if number % 2 else 1_000)
        cache.keep(topic(number), 1_000_000)
    kept = [value for number in range(10_000) if (value := cache.get(topic(number))) is not None]
    assert kept
    assert sum(kept) <= 10_000


def test_long_topics_are_not_kept() -> None:
    cache = cache_of(10)
    cache.keep(b"a/" + b"x" * 2_000, 1)
    assert cache.get(b"a/" + b"x" * 2_000) is None


def decode(routes: MappedRoutes, payload: str, topics: range) -> None:
    for number in topics:
        assert routes.decode(_entry(payload, number)).kind == "telem"


def _entry(payload: str, number: int) -> Entry:
    return entry(payload)._replace(topic=topic(number))


def stored(outcome: Outcome) -> object:
    return rows_of(outcome) if isinstance(outcome, Decoded) else outcome


def routes() -> MappedRoutes:
    return v1_routes(MIB, 86_400)


@pytest.mark.parametrize(("payload", "times"), [(TELEM, 1), (PARSEC, 2)], ids=["version 1", "another format"])
def test_a_topic_is_looked_up_once_for_each_way_to_read_it(
    payload: str, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[bytes] = []
    look_up: Callable[[MappedRoutes, bytes], object] = MappedRoutes._look_up

    def noting(self: MappedRoutes, topic: bytes) -> object:
        looked_up.append(topic)
        return look_up(self, topic)

    monkeypatch.setattr(MappedRoutes, "_look_up", noting)
    one = routes()
    for _ in range(10):
        decode(one, payload, range(3))
    assert sorted(looked_up) == sorted([topic(number) for number in range(3)] * times)


def test_a_topic_with_messages_of_both_formats_gives_the_same_rows_as_each_alone() -> None:
    both = routes()
    for payload in (TELEM, PARSEC, TELEM, "", "{", PARSEC):
        assert stored(both.decode(_entry(payload, 1))) == stored(routes().decode(_entry(payload, 1))), payload


@pytest.mark.parametrize("payload", [TELEM, PARSEC], ids=["version 1", "another format"])
def test_memory_is_what_is_counted(payload: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it: the topics, names and captures, whatever they share."""
    monkeypatch.setattr(module, "PLAIN_BYTES", MIB)
    monkeypatch.setattr(module, "BOUNDS_BYTES", MIB // 2)
    monkeypatch.setattr(identity, "KEPT_MAX", 10)  # names have a bound of their own
    one = routes()
    topics = 4_000 if payload == TELEM else 1_000
    decode(one, payload, range(10))
    tracemalloc.start()
    most = 0
    for start in range(0, topics, 250):
        for _ in range(1 if payload == TELEM else 2):
            decode(one, payload, range(start, start + 250))
        most = max(most, tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    limit = MIB if payload == TELEM else MIB // 2 + 300 * topics
    assert 0.8 * limit < most < 1.8 * limit, most / limit
