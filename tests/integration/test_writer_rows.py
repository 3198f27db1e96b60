"""The rows that a writer makes of messages, on a real Redis and a real database."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta

from tests.support.stack import START, Stack, telem
from tests.support.streams import append_all
from tests.support.waiting import eventually


async def test_an_ack_published_three_times_is_one_row(stack: Stack) -> None:
    await stack.receiver()
    writer = await stack.writer()
    ack = json.dumps({"schema": "v1", "cmd_id": "c1", "ok": True, "ts_exec": "2025-10-07T15:35:00Z"}).encode()
    await stack.publish(*[("traksense/t/s/dev/ack", ack)] * 3)
    await eventually(lambda: writer.metric("ingest_messages_total", type="ack") == 3)
    (row,) = await stack.fetch("SELECT * FROM cmd_ack")
    assert row["updated_at"] > row["created_at"]
    assert writer.metric("ingest_duplicates_total", type="ack") == 2


async def test_an_older_ts_exec_never_overwrites_a_newer_one(stack: Stack) -> None:
    def ack(minute: int | None, ok: bool) -> bytes:
        ts_exec = None if minute is None else f"2025-10-07T15:{minute}:00Z"
        return json.dumps({"schema": "v1", "cmd_id": "c", "ok": ok, "ts_exec": ts_exec, "err": f"{minute}"}).encode()

    writer = await stack.writer()
    for count, (minute, ok) in enumerate([(None, False), (30, False), (40, True), (35, False), (None, False)], 1):
        await stack.append("traksense/t/s/dev/ack", ack(minute, ok))
        await eventually(lambda count=count: writer.metric("ingest_messages_total", type="ack") == count)  # type: ignore[misc]
    (row,) = await stack.fetch("SELECT * FROM cmd_ack")
    assert (row["ok"], row["err"], row["ts_exec"].minute) == (True, "40", 40)
    assert row["updated_at"] > row["created_at"]


async def test_ten_thousand_points_in_a_thousand_messages(stack: Stack) -> None:
    receiver, writer = await stack.receiver(), await stack.writer()
    await stack.publish(*(telem(f"dev{number % 7}", number, points=10) for number in range(1000)))
    await stack.has_rows("ts_measure", 10_000)
    await eventually(lambda: "ingest_points_total 10000.0" in writer.get("/metrics")[1])
    await eventually(lambda: writer.metric("ingest_messages_total", type="telem") == 1000)
    await eventually(lambda: receiver.metric("ingest_appended_messages_total") == 1000)
    assert writer.metric("ingest_latency_seconds_count") == 1000
    assert writer.metric("ingest_duplicates_total", type="telem") == 0


async def test_timestamps_out_of_order_are_all_stored(stack: Stack) -> None:
    await stack.writer()
    seconds = list(range(0, 400_000, 1000))
    random.Random(7).shuffle(seconds)
    await append_all(stack, (telem(second=second) for second in seconds))
    await stack.has_rows("ts_measure", 400)
    stored = {row["ts"] for row in await stack.fetch("SELECT ts FROM ts_measure")}
    assert stored == {START + timedelta(seconds=second) for second in seconds}


async def test_what_is_stored_already_is_stored_once_and_counted(stack: Stack) -> None:
    writer = await stack.writer()
    first = [telem(second=number, points=3) for number in range(20)]
    again = [telem(second=number, points=4) for number in range(10, 30)]
    for messages in (first, again, again):
        for message in messages:
            await stack.append(*message)
    await eventually(lambda: writer.metric("ingest_messages_total", type="telem") == 60)
    assert await stack.count("ts_measure") == 20 * 3 + 10 * 1 + 10 * 4
    assert writer.metric("ingest_points_total") == 110
    assert writer.metric("ingest_duplicates_total", type="telem") == 20 * 3 + 2 * 20 * 4 - 110
    assert writer.metric("ingest_dlq_rows_total") == 0


async def test_the_first_of_two_different_values_stays(stack: Stack) -> None:
    for value in range(16):  # one batch
        await stack.append(*telem(points=[{"name": "p", "v": value}, {"name": "q", "v": value}]))
    await stack.writer(INGEST_BATCH_MS=200)
    await stack.has_rows("ts_measure", 2)
    assert [row["v_num"] for row in await stack.fetch("SELECT v_num FROM ts_measure")] == [0, 0]


async def test_events_are_stored_once(stack: Stack) -> None:
    event = {"schema": "v1", "event_type": "boot", "ts": "2025-10-07T15:30:00Z", "data": {"a": 1}}
    for payload in (event, event | {"event_id": "E"}, event, event | {"event_id": "E"}, event | {"data": None}):
        await stack.append("traksense/t/s/dev/event", json.dumps(payload).encode())
    writer = await stack.writer()
    await stack.has_rows("device_event", 3)
    await eventually(lambda: writer.metric("ingest_duplicates_total", type="event") == 2)


async def test_devices_are_known(stack: Stack) -> None:
    writer = await stack.writer()
    topic, payload = telem()
    with_meta = json.dumps(json.loads(payload) | {"meta": {"fw": "1.2"}}).encode()
    await stack.append(topic, with_meta, received_at=1_700_000_000_000)
    await eventually(lambda: stack.count("device"))
    await stack.append(topic.replace("/site/", "/elsewhere/"), payload, received_at=1_700_000_100_000)
    await eventually(lambda: writer.metric("ingest_messages_total", type="telem") == 2)
    (row,) = await stack.fetch("SELECT * FROM device")
    assert (row["tenant_id"], row["device_id"], row["site_id"]) == ("t", "dev", "elsewhere")
    assert json.loads(row["meta"]) == {"fw": "1.2"}
    assert row["last_seen"] == datetime.fromtimestamp(1_700_000_100, UTC)


async def test_two_shards_are_both_drained(stack: Stack) -> None:
    await stack.receiver(INGEST_SHARDS=2)
    await stack.writer(INGEST_SHARDS=2)
    await stack.publish(*(telem(f"dev{number}", number) for number in range(100)))
    await eventually(lambda: _count_is(stack, 100))
    assert [await stack.backlog(shard) for shard in range(2)] == [0, 0]


async def _count_is(stack: Stack, count: int) -> bool:
    return await stack.count("ts_measure") == count


async def test_every_metric_of_the_contract_is_exposed(stack: Stack) -> None:
    receiver, writer = await stack.receiver(), await stack.writer()
    exposed = writer.get("/metrics")[1]
    for name in ("telem", "ack", "event"):
        assert f'ingest_messages_total{{type="{name}"}} 0.0' in exposed
    reasons = "parse_error invalid_topic out_of_range payload_too_large data_error max_deliveries"
    for reason in f"{reasons} mqtt_error redis_error db_error".split():
        assert f'ingest_errors_total{{reason="{reason}"}} 0.0' in exposed
        assert f'ingest_errors_total{{reason="{reason}"}} 0.0' in receiver.get("/metrics")[1]
    for sample in ("ingest_points_total 0.0", "ingest_queue_size 0.0", "ingest_batch_size_count 0.0"):
        assert sample in exposed
    assert "ingest_latency_seconds_bucket" in exposed
    assert "ingest_queue_size 0.0" in receiver.get("/metrics")[1]
