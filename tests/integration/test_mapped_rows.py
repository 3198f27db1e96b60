"""A message of several devices is stored as one, and counted as what it is: on real servers, before any mapping."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from tests.support.mapped_writer import NAME, TOPIC, TS, MappedWriter, mapped_writer, message, part
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.shared.streams.keys import key_of
from traksense_ingest.shared.streams.snapshot import read_snapshot

NEWER = "2026-01-02T03:04:06+00:00"


@pytest.fixture
async def writer(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MappedWriter]:
    async with mapped_writer(stack, monkeypatch) as writer:
        yield writer


async def points(stack: Stack) -> list[tuple[object, ...]]:
    rows = await stack.fetch("SELECT tenant_id, device_id, point_id, v_num FROM ts_measure ORDER BY ts, 1, 2, 3")
    return [tuple(row) for row in rows]


async def test_every_device_and_moment_of_a_message_has_its_rows(stack: Stack, writer: MappedWriter) -> None:
    rows = [
        part("a", points={"t": 1, "h": 2}),
        part("b", tenant="umc", points={"t": 3}),
        part("a", ts=NEWER, points={"t": 4}),
        part("c", points={}),
    ]
    await writer.takes(message(rows=rows))
    first = [("acme", "a", "h", 2.0), ("acme", "a", "t", 1.0), ("umc", "b", "t", 3.0)]
    assert await points(stack) == [*first, ("acme", "a", "t", 4.0)]
    seen = await stack.fetch("SELECT tenant_id, device_id FROM device ORDER BY 1, 2")
    assert [tuple(row) for row in seen] == [("acme", "a"), ("acme", "c"), ("umc", "b")]
    assert writer.metric("ingest_points_total") == 4
    assert writer.metric("ingest_messages_total", type="telem") == 1
    assert writer.metric("ingest_latency_seconds_count") == writer.metric("ingest_transit_seconds_count") == 1
    age = (datetime.now(UTC) - datetime.fromisoformat(NEWER)).total_seconds()
    assert writer.metric("ingest_latency_seconds_sum") <= age, "since the newest of its rows' times"

    await writer.takes(message(rows=rows), telem("v1"))
    assert await stack.count("ts_measure") == 5
    assert writer.metric("ingest_duplicates_total", type="telem") == 4
    assert (await read_snapshot(stack.clients, 0)).duplicates == 4


async def test_where_one_row_is_refused_none_of_its_message_is_stored(stack: Stack, writer: MappedWriter) -> None:
    await stack.execute("ALTER TABLE ts_measure ADD CONSTRAINT sane CHECK (v_num < 1000)")
    bad = message(rows=[part("a", points={"t": 1}), part("b", points={"t": 5000}), part("c", points={"t": 2})])
    await writer.takes(message(rows=[part("good", points={"t": 1})]), bad, telem("v1"))
    assert {row[1] for row in await points(stack)} == {"good", "v1"}
    assert {row["device_id"] for row in await stack.fetch("SELECT device_id FROM device")} == {"good", "v1"}
    (letter,) = await stack.fetch("SELECT tenant_id, topic, payload, error_class FROM ingest_errors")
    assert tuple(letter) == ("acme", TOPIC, bad[1].decode(), "data_error")
    assert writer.metric("ingest_messages_total", type="telem") == 3
    shard = await read_snapshot(stack.clients, 0)
    assert (shard.stored, shard.dead_lettered, shard.missing) == (2, 1, 0)


async def test_a_dead_letter_of_several_tenants_is_seen_by_none_of_them(stack: Stack, writer: MappedWriter) -> None:
    await stack.execute("ALTER TABLE ts_measure ADD CONSTRAINT sane CHECK (v_num < 1000)")
    both = [part("a", points={"t": 5000}), part("b", tenant="umc", points={"t": 1})]
    await writer.takes(message(rows=both), message(rows=both[:1]))
    letters = await stack.fetch("SELECT tenant_id FROM ingest_errors ORDER BY id")
    assert [row["tenant_id"] for row in letters] == [None, "acme"]


async def test_a_dead_letter_has_the_kind_and_the_tenant_of_its_mapping(stack: Stack, writer: MappedWriter) -> None:
    await writer.takes(message(poison="acme"), message(poison=None))
    letters = await stack.fetch("SELECT tenant_id, error_class FROM ingest_errors ORDER BY id")
    assert [tuple(row) for row in letters] == [("acme", "unknown_alias"), (None, "unknown_alias")]
    assert writer.metric("ingest_messages_total", type="state") == 2
    assert writer.metric("ingest_errors_total", reason="unknown_alias") == 2


async def test_a_state_is_an_event_and_is_counted_as_a_state(stack: Stack, writer: MappedWriter) -> None:
    gone = message(states=[part("a", online=False), part("b", online=False)])
    boot = b'{"schema":"v1","event_id":"e","event_type":"boot","ts":"2026-01-02T03:04:05Z"}'
    await writer.takes(gone, ("traksense/acme/s/a/event", boot))
    rows = await stack.fetch("SELECT device_id, event_type, data FROM device_event ORDER BY event_type, device_id")
    assert [tuple(row) for row in rows] == [
        ("a", "boot", None),
        ("a", "state", '{"online": false}'),
        ("b", "state", '{"online": false}'),
    ]
    await writer.takes(gone)
    assert await stack.count("device_event") == 3
    assert writer.metric("ingest_messages_total", type="state") == 2
    assert writer.metric("ingest_messages_total", type="event") == 1
    assert writer.metric("ingest_duplicates_total", type="state") == 2
    assert writer.metric("ingest_duplicates_total", type="event") == 0


async def test_what_a_mapping_ignores_is_settled_and_in_the_ledger(stack: Stack, writer: MappedWriter) -> None:
    await writer.takes(message(ignore=True), message(ignore=True), (TOPIC[7:], b""), telem())
    assert writer.metric("ingest_ignored_total", reason="mapping", mapping=NAME) == 2
    assert writer.metric("ingest_ignored_total", reason="empty", mapping="") == 1
    assert writer.metric("ingest_messages_total", type="telem") == 3
    shard = await read_snapshot(stack.clients, 0)
    assert (shard.added, shard.stored, shard.ignored, shard.missing) == (4, 1, 3, 0)
    status = await stack.status()
    assert "4 added = 1 stored + 0 dead-lettered + 3 ignored + 0 here" in status.stdout, status.stdout


async def test_of_two_readings_of_a_point_and_moment_the_first_is_stored(stack: Stack, writer: MappedWriter) -> None:
    rows = [part("a", points={"t": 1, "h": 2}), part("a", points={"t": 9, "p": 3}), part("a", points={"t": 1})]
    await writer.takes(message(rows=rows, same_point=4))
    assert await points(stack) == [("acme", "a", "h", 2.0), ("acme", "a", "p", 3.0), ("acme", "a", "t", 1.0)]
    assert writer.metric("ingest_conflicts_total", mapping=NAME) == 2 + 4
    assert writer.metric("ingest_duplicates_total", type="telem") == 0
    twice = [{"name": "p", "v": 1}, {"name": "p", "v": 2}, {"name": "p", "v": 1}]
    await writer.takes(telem(points=twice))
    assert writer.metric("ingest_conflicts_total", mapping="") == 1
    assert writer.metric("ingest_duplicates_total", type="telem") == 1
    assert (await read_snapshot(stack.clients, 0)).ignored == 0, "both messages are stored"


def of_two_devices(table: str, ts: str) -> tuple[str, bytes]:
    if table == "ts_measure":
        return message(rows=[part(device, ts=ts, points={"t": 1}) for device in "ab"])
    return message(states=[part(device, ts=ts, online=False) for device in "ab"])


@pytest.mark.parametrize("table", ["ts_measure", "device_event"])
async def test_while_a_table_is_refused_its_messages_wait(stack: Stack, writer: MappedWriter, table: str) -> None:
    """The canary is a mapped message, one of its rows under a key of its own; a state's is an event."""
    await writer.takes(of_two_devices(table, TS))
    await stack.execute(f"ALTER TABLE {table} RENAME TO elsewhere")
    await stack.append(*of_two_devices(table, NEWER))
    await eventually(lambda: writer.metric("ingest_connected", component="database") == 0)
    assert await stack.redis.xlen(key_of(0)) == 1
    await stack.execute(f"ALTER TABLE elsewhere RENAME TO {table}")
    await writer.has_settled(2)
    assert await stack.count(table) == 4
    assert await stack.count("ingest_errors") == 0
