"""Messages of several devices: what they weigh, whose they are, and what they are counted as."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.test_bisect import Database, decoded, poison, sql
from traksense_ingest.shared.messages import IGNORED_REASONS, MAPPING
from traksense_ingest.shared.metrics import WriterMetrics
from traksense_ingest.shared.runtime.health import Component
from traksense_ingest.writer.decode.decode import reject
from traksense_ingest.writer.decode.measures import Measures, Reading
from traksense_ingest.writer.entry import parse_entry
from traksense_ingest.writer.lane import _kind_of_deferred
from traksense_ingest.writer.outcome import (
    ROW_BYTES,
    AckRow,
    Decoded,
    Deferred,
    EventRow,
    Ignored,
    Rejected,
    Rows,
    Settleable,
    Sighting,
)
from traksense_ingest.writer.read.consumer import SettlementKey
from traksense_ingest.writer.read.source import ReadSize, Source
from traksense_ingest.writer.store.store import TRANSACTION_BYTES_MAX, split_by_size
from traksense_ingest.writer.store.tables import Changes
from traksense_ingest.writer.watch.metrics_recorder import MetricsRecorder

AT = datetime(2026, 1, 1, tzinfo=UTC)
READING: Reading = ("p", 1.0, None, None, None)


def measures(device: str = "d", points: int = 1, meta: str | None = None, tenant: str = "t") -> Measures:
    return Measures(tenant, device, AT, meta, (READING,) * points)


def event(data: str | None, tenant: str = "t") -> EventRow:
    return EventRow(tenant, "d", "e", "boot", AT, data, AT)


def outcome(*rows: Rows, payload: bytes = b"p" * 100, more: tuple[bytes, ...] = (), **fields: Any) -> Decoded:
    entry = parse_entry("s", b"1-0", [b"topic", b"x/y", b"payload", payload, *more])
    return Decoded(entry, "telem", (), None, rows, **fields)


@pytest.mark.parametrize(
    ("message", "weight"),
    [
        (outcome(), 100),
        (outcome(measures(points=1)), 100),
        (outcome(measures(meta="m" * 50, points=10), payload=b"p" * 1000), 1000 + 500),
        (outcome(measures("a", 10), measures("b", 20)), 30 * ROW_BYTES),
        (outcome(measures("a", 2, "m" * 7), measures("b", 3, "m" * 11)), 5 * ROW_BYTES + 14 + 33),
        (outcome(measures(points=2), unpacked=5000), 5000),
        (outcome(*[event("x" * 90)] * 10), 900),
        (outcome(event(None)), 100),
        (outcome(AckRow("t", "d", "c", True, None, None, "j" * 300, AT)), 300),
    ],
)
def test_the_weight_is_about_what_all_of_its_rows_are(message: Decoded, weight: int) -> None:
    assert message.weight == weight


def test_messages_that_grow_a_lot_do_not_share_a_transaction() -> None:
    """A hundred bytes whose rows repeat them."""
    large = outcome(*[event("x" * (TRANSACTION_BYTES_MAX // 30))] * 20)
    assert [len(part) for part in split_by_size([large, large, outcome(), large])] == [1, 2, 1]


def test_its_tenant_is_that_of_all_its_rows_and_devices() -> None:
    other = Sighting("other", "d", "s", None, AT)
    assert outcome(measures("a"), measures("b")).tenant_id == "t"
    assert outcome(measures("a"), measures("b", tenant="other")).tenant_id is None
    assert outcome(measures("a"))._replace(devices=(other,)).tenant_id is None
    assert outcome()._replace(devices=(other,)).tenant_id == "other"
    assert outcome().tenant_id is None


def test_without_a_mapping_a_dead_letter_is_what_the_topic_says() -> None:
    entry = parse_entry("s", b"1-0", [b"topic", b"traksense/acme/s/d/ack", b"payload", b"p"])
    plain = reject(entry, "parse_error", "parse_error: no")
    assert (plain.kind, plain.tenant_id) == ("ack", "acme")
    mapped = reject(entry, "parse_error", "parse_error: no", kind="state", tenant_id="umc")
    assert (mapped.kind, mapped.tenant_id) == ("state", "umc")
    of_nobody = reject(entry, "parse_error", "parse_error: no", kind="telem")
    assert (of_nobody.kind, of_nobody.tenant_id) == ("telem", None)


@pytest.mark.parametrize("error", [poison(), RuntimeError("bug"), sql("54000")])
async def test_what_the_database_refuses_keeps_its_kind_and_tenant(error: Exception) -> None:
    mapped = decoded(1, deliveries=5, kind="state")._replace(rows=(measures(tenant="umc"),), devices=())
    (letter,) = await Database({1}, error).bisect([mapped])
    assert isinstance(letter, Rejected)
    assert (letter.kind, letter.tenant_id) == ("state", "umc"), "its topic says telem and t"


def test_a_kind_that_a_mapping_gives_is_asked_for_by_its_statements() -> None:
    entry = decoded(1).entry
    assert _kind_of_deferred(Deferred(entry, KeyError(), "state", "t")) == "event"
    assert _kind_of_deferred(Deferred(entry, KeyError(), "ack", None)) == "ack"
    assert _kind_of_deferred(Deferred(entry, KeyError())) == "telem", "by its topic"
    assert _kind_of_deferred(Deferred(entry._replace(topic=b"x/y"), KeyError())) == "telem"


class Consumer:
    """Settles everything."""

    def __init__(self) -> None:
        self.keys: dict[SettlementKey, int] = {}

    async def settle(self, entries: Any, _duplicates: int) -> dict[SettlementKey, int]:
        self.keys = {key: len(some) for key, some in entries.items()}
        return self.keys


async def test_what_is_ignored_is_counted_by_its_reason_and_its_mapping() -> None:
    metrics, consumer = WriterMetrics(), Consumer()
    this: Any = consumer
    source = Source(this, ReadSize(1), 0, 1000, Component("redis", "", metrics), metrics, asyncio.Event())
    entry = decoded(1).entry
    settled: list[Settleable] = [
        Ignored(entry, "telem", "empty"),
        Ignored(entry, "telem", MAPPING, "khomp"),
        Ignored(entry, "telem", MAPPING, "khomp"),
        Ignored(entry, "state", MAPPING, "shelly"),
        decoded(2),
        reject(entry, "parse_error", "parse_error: no"),
    ]
    MetricsRecorder(metrics).settled(await source.settle(settled, 0))
    assert [key.verdict for key in consumer.keys] == ["ignored", "ignored", "ignored", "stored", "dead_lettered"]

    def count(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, labels)

    found = [count("ingest_ignored_total", reason=MAPPING, mapping=name) for name in ("khomp", "shelly", "")]
    assert found == [2, 1, None]
    assert count("ingest_ignored_total", reason="empty", mapping="") == 1
    assert count("ingest_messages_total", type="telem") == 5
    assert count("ingest_messages_total", type="state") == 1
    assert {sample.labels["reason"] for sample in next(iter(metrics._ignored.collect())).samples} == {*IGNORED_REASONS}


def test_a_replayed_message_has_no_latency() -> None:
    metrics = WriterMetrics()
    recorder = MetricsRecorder(metrics, clock=lambda: AT)
    kept = [(), (b"replayed", b"1"), (b"retained", b"1")]
    recorder.committed([outcome(more=more)._replace(ts=AT) for more in kept], Changes(), 0.1)
    for name in ("ingest_latency_seconds_count", "ingest_transit_seconds_count"):
        assert metrics.registry.get_sample_value(name) == 1
