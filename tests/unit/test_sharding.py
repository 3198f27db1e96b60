"""Which stream a topic's messages go to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traksense_ingest.shared.mapping.load import load
from traksense_ingest.shared.mapping.mappings import Shards
from traksense_ingest.shared.streams import sharding
from traksense_ingest.shared.streams.keys import shard_of
from traksense_ingest.shared.streams.sharding import Sharding

MAPPINGS = Shards(load("chirpstack?tenant=acme,khomp,sparkplug?tenant=acme").routes)
NAMES = st.text(min_size=0, max_size=5)


@given(st.builds("traksense/{}/{}/{}/{}".format, NAMES, NAMES, NAMES, st.sampled_from(["telem", "ack", "event", "x"])))
def test_a_topic_of_version_1_stays_where_it_was(topic: str) -> None:
    """So that what a device sends after an upgrade, or with other mappings, follows what it sent before."""
    raw = topic.encode(errors="surrogatepass")
    assert Sharding(16, MAPPINGS.key).shard_of(raw) == shard_of(raw, 16)


@pytest.mark.parametrize(
    "topics",
    [
        ("application/1/device/70b3/event/up", "application/2/device/70b3/event/ack"),
        ("spBv1.0/g/NBIRTH/n", "spBv1.0/g/DDATA/n/d", "spBv1.0/g/NDEATH/n"),
    ],
)
def test_a_mapping_keeps_together_what_belongs_together(topics: tuple[str, ...]) -> None:
    assert len({Sharding(1009, MAPPINGS.key).shard_of(topic.encode()) for topic in topics}) == 1


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharding, "CACHE_BYTES", 10_000)
    asked: list[bytes] = []
    shards = Sharding(4, asked.append)
    for number in range(1000):
        shards.shard_of(b"x/%d" % number)
    assert len(shards._known) * sharding.TOPIC_BYTES < 10_000
    assert len(asked) == 1000
    shards.shard_of(b"x/999")
    assert len(asked) == 1000, "it is remembered"


def test_other_mappings_count_at_once() -> None:
    shards = Sharding(1009, lambda _topic: b"one")
    before = shards.shard_of(b"x/y")
    shards.replace(lambda _topic: b"another")
    assert shards.shard_of(b"x/y") != before
