"""The writer on a real Redis and a real database."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import asyncpg
import pytest

from shared.database import open_pool
from shared.failure import Kind, kind_of
from shared.stream import GROUP, key_of
from tests.support.process import Process
from tests.support.stack import START, Stack, telem
from tests.support.waiting import eventually
from writer.frozen import FrozenWriters
from writer.sql import WAITING_TRANSACTIONS


async def test_three_payloads_that_are_wrong_are_counted_and_kept(stack: Stack) -> None:
    writer = await stack.writer()
    wrong = [
        b"{invalid json syntax",
        b'{"schema":"v1","points":[]}',
        b'{"schema":"v1","ts":"2025-10-07T15:30:00Z","points":"x"}',
    ]
    for payload in wrong:
        await stack.append("traksense/t/s/dev/telem", payload)
    await stack.has_rows("ingest_errors", 3)
    rows = await stack.fetch("SELECT * FROM ingest_errors ORDER BY entry_id")
    assert [row["payload"].encode() for row in rows] == wrong
    assert len({row["reason"] for row in rows}) == 3
    assert {(row["tenant_id"], row["stream"], row["deliveries"]) for row in rows} == {("t", "ingest:{0}", 1)}
    await eventually(lambda: 'ingest_errors_total{reason="parse_error"} 3.0' in writer.get("/metrics")[1])


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
    assert receiver.metric("ingest_appended_messages_total") == 1000
    assert writer.metric("ingest_latency_seconds_count") == 1000
    assert writer.metric("ingest_duplicates_total", type="telem") == 0


async def test_timestamps_out_of_order_are_all_stored(stack: Stack) -> None:
    await stack.writer()
    seconds = list(range(0, 400_000, 1000))
    random.Random(7).shuffle(seconds)
    for second in seconds:
        await stack.append(*telem(second=second))
    await stack.has_rows("ts_measure", 400)
    stored = {row["ts"] for row in await stack.fetch("SELECT ts FROM ts_measure")}
    assert stored == {START + timedelta(seconds=second) for second in seconds}


async def test_what_is_there_already_is_stored_once_and_counted(stack: Stack) -> None:
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


async def test_a_batch_mate_of_poison_is_stored(stack: Stack) -> None:
    """Only the database knows that these are bad: a constraint that an operator added."""
    await stack.execute("ALTER TABLE ts_measure ADD CONSTRAINT sane CHECK (v_num < 1000)")
    for second in range(100):
        bad = second % 10 == 3
        await stack.append(
            *telem(second=second, points=[{"name": "a", "v": 1}, {"name": "b", "v": 5000 if bad else 2}])
        )
    writer = await stack.writer()
    await stack.has_rows("ingest_errors", 10)
    assert await stack.count("ts_measure") == 90 * 2, "a message is settled as one"
    rows = await stack.fetch("SELECT * FROM ingest_errors")
    assert {(row["error_class"], row["sqlstate"]) for row in rows} == {("data_error", "23514")}
    assert all(row["reason"].startswith("data_error: sane: ") for row in rows)
    assert writer.metric("ingest_errors_total", reason="data_error") == 10


async def test_an_entry_that_makes_the_writer_fail_is_retried_and_given_up(stack: Stack) -> None:
    await stack.execute("""
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.device_id = 'cursed' THEN RAISE EXCEPTION 'a bug' USING ERRCODE = 'XX000'; END IF;
            RETURN NEW;
        END $$""")
    await stack.execute("CREATE TRIGGER fail BEFORE INSERT ON ts_measure FOR EACH ROW EXECUTE FUNCTION fail()")
    await stack.append(*telem("cursed"))
    await stack.append(*telem("fine"))
    writer = await stack.writer(INGEST_CLAIM_IDLE_MS=200, INGEST_MAX_DELIVERIES=3)
    await eventually(lambda: stack.count("ts_measure"), "its batch-mate is stored at once")
    await writer.says("failed at try 1 and stay pending")
    assert await stack.count("ingest_errors") == 0
    await stack.has_rows("ingest_errors", 1)
    (row,) = await stack.fetch("SELECT * FROM ingest_errors")
    assert (row["error_class"], row["deliveries"], row["sqlstate"]) == ("max_deliveries", 3, "XX000")
    assert row["reason"].startswith("max_deliveries: entry: 3 tries, the last: ")
    assert writer.log.count("Traceback") == 2
    assert writer.metric("ingest_deferred_total") == 2


async def test_the_database_away_is_never_mistaken_for_bad_data(stack: Stack) -> None:
    writer = await stack.writer(INGEST_CLAIM_IDLE_MS=500)
    await stack.refuse_connections()
    for second in range(50):
        await stack.append(*telem(second=second))
    await stack.append("traksense/t/s/dev/telem", b"poison")
    await writer.says("database is away, waiting for it")
    await eventually(lambda: writer.get("/readyz")[0] == 503)
    await eventually(lambda: writer.metric("ingest_errors_total", reason="db_error") >= 5)
    assert await stack.backlog() == 51
    await stack.allow_connections()
    await stack.has_rows("ts_measure", 50)
    assert await stack.count("ingest_errors") == 1
    await eventually(lambda: writer.get("/readyz")[0] == 200)
    assert writer.log.count("database is away") == 1


async def test_a_read_only_database_is_an_outage(stack: Stack) -> None:
    await stack.administer("ALTER DATABASE {name} SET default_transaction_read_only = on")
    writer = await stack.writer(DB_POOL_MIN=0)
    await stack.append(*telem())
    await writer.says("database is away, waiting for it: cannot execute")
    await stack.administer("ALTER DATABASE {name} SET default_transaction_read_only = off")
    await stack.end_sessions()
    await stack.has_rows("ts_measure", 1)
    assert await stack.count("ingest_errors") == 0


async def test_redis_away_is_waited_for(stack: Stack) -> None:
    writer = await stack.writer()
    for second in range(20):
        await stack.append(*telem(second=second))
    await stack.has_rows("ts_measure", 20)
    stack.redis_server.kill()
    await writer.says("redis is away, waiting for it")
    stack.redis_server.start()
    await eventually(lambda: writer.get("/readyz")[0] == 200)
    for second in range(20, 40):
        await stack.append(*telem(second=second))
    await stack.has_rows("ts_measure", 40)
    assert writer.log.count("redis is away") == 1


async def test_a_dead_writers_entries_are_claimed_and_their_count_is_not_raised(stack: Stack) -> None:
    for second in range(300):
        await stack.append(*telem(second=second))
    await stack.redis.xgroup_create(key_of(0), GROUP, id="0")
    await stack.redis.xreadgroup(GROUP, "dead", {key_of(0): ">"}, count=300)
    await stack.append("traksense/t/s/dev/telem", b"poison")
    await stack.redis.xreadgroup(GROUP, "dead", {key_of(0): ">"}, count=1)
    writer = await stack.writer(INGEST_CLAIM_IDLE_MS=300)
    await stack.has_rows("ts_measure", 300)
    assert writer.metric("ingest_redeliveries_total") == 301
    assert await stack.fetchval("SELECT deliveries FROM ingest_errors") == 1


async def test_a_slow_writers_entries_are_left_to_it(stack: Stack) -> None:
    """It waits for a lock far longer than the claim time-out: that is slow, not dead."""
    blocker = await asyncpg.connect(stack.database_url)
    async with blocker.transaction():
        await blocker.execute("LOCK TABLE ts_measure")
        slow = await stack.writer(INGEST_CLAIM_IDLE_MS=300)
        await stack.append(*telem())
        await eventually(stack.pending)
        (before,) = await _pending(stack)
        other = await stack.writer(INGEST_CLAIM_IDLE_MS=300)
        await eventually(lambda: _was_renewed(stack), "renewed more than once", timeout=5)
        await asyncio.wait_for(_idles_beyond(slow, 3 * 0.3), 10)
        (after,) = await _pending(stack)
    await blocker.close()
    await stack.has_rows("ts_measure", 1)
    assert after["consumer"] == before["consumer"]
    assert other.metric("ingest_redeliveries_total") == 0


async def _pending(stack: Stack) -> Any:
    return await stack.redis.xpending_range(key_of(0), GROUP, "-", "+", 10)


async def _was_renewed(stack: Stack) -> bool:
    (entry,) = await _pending(stack)
    return bool(entry["time_since_delivered"] < 50 and entry["times_delivered"] == 1)


async def _idles_beyond(writer: Any, seconds: float) -> None:
    start = asyncio.get_running_loop().time()
    await eventually(lambda: asyncio.get_running_loop().time() - start > seconds)
    assert writer.popen.poll() is None


async def test_a_stopped_writer_that_wakes_up_stores_nothing_twice(stack: Stack) -> None:
    sleeper = await stack.writer(INGEST_CLAIM_IDLE_MS=300, INGEST_BATCH_MS=300)
    for second in range(100):
        await stack.append(*telem(second=second, points=5))
    await eventually(stack.pending)
    sleeper.signal(signal.SIGSTOP)
    other = await stack.writer(INGEST_CLAIM_IDLE_MS=300)
    await eventually(lambda: _is_empty(stack), "the other writer took over")
    sleeper.signal(signal.SIGCONT)
    await stack.append(*telem("later"))
    await stack.has_rows("ts_measure", 501)
    await eventually(lambda: _settled(sleeper) + _settled(other) == 101, "each is counted once")
    assert sleeper.stop() == 0
    assert await stack.count("ts_measure") == 501
    assert await stack.count("ingest_errors") == 0


def _settled(writer: Process) -> float:
    return writer.metric("ingest_messages_total", type="telem")


async def _is_empty(stack: Stack) -> bool:
    return await stack.backlog() == 0


async def test_kill_9_under_load_loses_nothing_and_doubles_nothing(stack: Stack) -> None:
    pipeline = stack.redis.pipeline(transaction=False)
    for second in range(5000):
        topic, payload = telem(f"dev{second % 5}", second, points=4)
        pipeline.xadd(key_of(0), {"topic": topic, "payload": payload, "received_at": 1_700_000_000_000})
    await pipeline.execute()
    for _ in range(3):
        writer = await stack.writer(INGEST_CLAIM_IDLE_MS=300, INGEST_BATCH_SIZE=100)
        await eventually(lambda: stack.count("ts_measure"))
        writer.kill()
    await stack.writer(INGEST_CLAIM_IDLE_MS=300)
    await stack.has_rows("ts_measure", 20_000)
    assert await stack.count("ingest_errors") == 0


async def test_sigterm_settles_the_batch_in_hand_and_leaves(stack: Stack) -> None:
    writer = await stack.writer()
    for second in range(2000):
        await stack.append(*telem(second=second))
    assert writer.stop() == 0
    rows, backlog = await stack.count("ts_measure"), await stack.backlog()
    assert rows + backlog == 2000
    assert await stack.pending() == 0
    assert await stack.redis.xinfo_consumers(key_of(0), GROUP) == []


async def test_sigterm_while_the_database_is_away_leaves_the_batch_pending(stack: Stack) -> None:
    writer = await stack.writer()
    blocker = await asyncpg.connect(stack.database_url)
    async with blocker.transaction():
        await blocker.execute("LOCK TABLE ts_measure")
        await stack.append(*telem())
        await eventually(stack.pending)
        assert writer.stop() == 0
    await blocker.close()
    assert await stack.pending() == 1
    await stack.writer(INGEST_CLAIM_IDLE_MS=200)
    await stack.has_rows("ts_measure", 1)


async def test_a_group_that_was_destroyed_is_made_again(stack: Stack) -> None:
    writer = await stack.writer()
    await stack.append(*telem(second=1))
    await stack.has_rows("ts_measure", 1)
    await stack.redis.xgroup_destroy(key_of(0), GROUP)
    await stack.append(*telem(second=2))
    await stack.has_rows("ts_measure", 2)
    await stack.redis.delete(key_of(0))
    await stack.append(*telem(second=3))
    await stack.has_rows("ts_measure", 3)
    assert "Traceback" not in writer.log


async def test_large_payloads_and_many_points(stack: Stack) -> None:
    await stack.append(*telem("many", points=10_000))
    await stack.append(*telem("text", points=[{"name": "t", "v": "x" * 900_000}]))
    await stack.append("traksense/t/s/big/telem", b"y" * 1_048_577)
    await stack.writer()
    await stack.has_rows("ts_measure", 10_001)
    (row,) = await stack.fetch("SELECT * FROM ingest_errors")
    assert row["error_class"] == "payload_too_large"
    assert len(row["payload"]) == 1_048_577


async def test_two_shards_are_both_drained(stack: Stack) -> None:
    await stack.receiver(INGEST_SHARDS=2)
    await stack.writer(INGEST_SHARDS=2)
    await stack.publish(*(telem(f"dev{number}", number) for number in range(100)))
    await eventually(lambda: _count_is(stack, 100))
    assert [await stack.backlog(shard) for shard in range(2)] == [0, 0]


async def _count_is(stack: Stack, count: int) -> bool:
    return await stack.count("ts_measure") == count


async def test_every_metric_of_the_contract_is_there(stack: Stack) -> None:
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


async def test_a_device_that_the_database_refuses_troubles_no_other_message(stack: Stack) -> None:
    await stack.execute("ALTER TABLE device ADD CONSTRAINT here CHECK (site_id <> 'bad')")
    writer = await stack.writer()
    topic, payload = telem("moving")
    bad = topic.replace("/site/", "/bad/")
    await stack.append(topic, payload, received_at=1_700_000_000_000)
    await eventually(lambda: stack.count("device"))
    await stack.append(bad, telem("moving", 1)[1], received_at=1_700_000_001_000)  # too soon: withheld, then given up
    await stack.append(bad, telem("moving", 2)[1], received_at=1_700_000_060_000)  # due with its message
    for second in range(20):
        await stack.append(*telem("other", second))
    await stack.has_rows("ts_measure", 22)
    (row,) = await stack.fetch("SELECT * FROM ingest_errors")
    assert (row["error_class"], row["sqlstate"], row["topic"]) == ("data_error", "23514", bad)
    assert writer.stop() == 0
    assert "giving up changes of 1 devices" in writer.log


async def test_a_meta_that_would_fill_the_disk_is_refused(stack: Stack) -> None:
    points = [{"name": f"p{number}", "v": number} for number in range(10_000)]
    topic, payload = telem("greedy", points=points)
    greedy = json.dumps(json.loads(payload) | {"meta": {"a": "x" * 500_000}}).encode()
    await stack.append(topic, greedy)
    for second in range(4):
        fat = json.loads(telem("fat", second, points=100)[1]) | {"meta": {"a": "x" * 200_000}}
        await stack.append("traksense/t/site/fat/telem", json.dumps(fat).encode())
    await stack.writer()
    await stack.has_rows("ts_measure", 400)
    (row,) = await stack.fetch("SELECT * FROM ingest_errors")
    assert row["reason"].startswith("payload_too_large: meta: ")
    assert row["payload"].encode() == greedy


async def test_sigterm_while_the_database_stands_still(stack: Stack) -> None:
    writer = await stack.writer(DB_POOL_MAX=2)
    sessions = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'traksense-writer'"
    backends = [row["pid"] for row in await stack.fetch(f"SELECT pid {sessions}")]
    assert backends
    for pid in backends:
        os.kill(pid, signal.SIGSTOP)
    try:
        await stack.append(*telem())
        await eventually(stack.pending)
        assert writer.stop() == 0
    finally:
        for pid in backends:
            os.kill(pid, signal.SIGCONT)
    await stack.writer(INGEST_CLAIM_IDLE_MS=200)
    await stack.has_rows("ts_measure", 1)


async def test_sigterm_does_not_wait_for_a_batch_to_fill(stack: Stack) -> None:
    writer = await stack.writer(INGEST_BATCH_MS=60_000)
    await stack.append(*telem())
    await eventually(stack.pending)
    assert writer.stop() == 0
    await stack.has_rows("ts_measure", 1)


async def test_a_database_without_a_free_connection_is_waited_for(stack: Stack) -> None:
    name = stack.database_url.rpartition("/")[2]
    await stack.execute(f"CREATE ROLE few_{name} LOGIN BYPASSRLS CONNECTION LIMIT 1 PASSWORD 'few'")
    for those in ("TABLES", "FUNCTIONS"):
        await stack.execute(f"GRANT ALL ON ALL {those} IN SCHEMA public TO few_{name}")
    url = stack.database_url.replace("//postgres:postgres@", f"//few_{name}:few@")
    writer = stack.start("writer", DATABASE_URL=url)
    await writer.says("database is away, waiting for it: too many connections for role")
    await stack.execute(f"ALTER ROLE few_{name} CONNECTION LIMIT 20")
    await writer.ready()
    writer.kill()
    await stack.execute(f"DROP OWNED BY few_{name}")
    await stack.execute(f"DROP ROLE few_{name}")


@pytest.mark.parametrize("metas", [(), ({"fw": "1"}, {"fw": "2"})], ids=["idle", "a device's news are withheld"])
async def test_sigterm_while_the_database_is_away(stack: Stack, metas: tuple[dict[str, str], ...]) -> None:
    writer = await stack.writer()
    for second, meta in enumerate(metas):
        await stack.append(*telem(second=second, meta=meta), received_at=int(time.time() * 1000))
        await stack.has_rows("ts_measure", second + 1)
    await stack.refuse_connections()
    await writer.says("database is away")
    assert writer.stop() == 0, writer.log
    assert ("what changed of devices" in writer.log) == bool(metas)


async def test_what_waits_for_its_batch_to_fill_is_not_claimed(stack: Stack) -> None:
    """Not even where it waits for longer than it takes to be claimed."""
    waiting = await stack.writer(INGEST_BATCH_MS=3000, INGEST_CLAIM_IDLE_MS=300)
    other = await stack.writer(INGEST_BATCH_MS=3000, INGEST_CLAIM_IDLE_MS=300)
    await stack.append(*telem())
    await stack.has_rows("ts_measure", 1)
    assert [writer.metric("ingest_redeliveries_total") for writer in (waiting, other)] == [0, 0]


async def test_a_value_that_asyncpg_cannot_encode_is_poison(stack: Stack) -> None:
    """In an argument of a statement as in COPY's data; the connection goes on."""
    connection = await asyncpg.connect(stack.database_url)
    try:
        for value in ("\ud800", 5):
            with pytest.raises(asyncpg.DataError) as raised:
                await connection.fetchval("SELECT $1::text", value)
            assert kind_of(raised.value) is Kind.POISON
        assert await connection.fetchval("SELECT 1") == 1
    finally:
        await connection.close()


async def test_a_frozen_writers_transaction_is_ended(stack: Stack) -> None:
    """Neither idle in a transaction nor in the middle of a COPY; one that still sends is left alone."""
    as_writer = {"application_name": "traksense-writer"}
    connect = partial(asyncpg.connect, stack.database_url, server_settings=as_writer)
    idle, copying, sending = [await connect() for _ in range(3)]
    monitor = await open_pool(stack.database_url, 1, 1)
    bystander = await asyncpg.connect(stack.database_url)
    for connection in (idle, sending, bystander):
        await connection.execute("BEGIN; INSERT INTO device VALUES ('t', pg_backend_pid(), 's', NULL, now(), now())")

    async def stalls() -> AsyncIterator[bytes]:
        yield b"t\tstalled\ts\t\\N\tnow\tnow\n"
        await asyncio.Event().wait()

    copy = asyncio.create_task(copying.copy_to_table("device", source=stalls()))
    now = 0.0
    frozen = FrozenWriters(monitor, 30, lambda: now)
    await eventually(lambda: _waiting(monitor, 3))
    assert await frozen.end() == 0, "it is seen for the first time"
    now = 29
    assert await frozen.end() == 0, "it is not old enough"
    await sending.execute("SELECT 1")
    now = 31
    assert await frozen.end() == 2
    await eventually(lambda: idle.is_closed() and copying.is_closed())
    assert await sending.fetchval("SELECT 1") == await bystander.fetchval("SELECT 1") == 1
    copy.cancel()
    await asyncio.gather(copy, return_exceptions=True)
    await sending.close()
    await bystander.close()
    await monitor.close()


async def _waiting(monitor: Any, count: int) -> bool:
    return len(await monitor.fetch(WAITING_TRANSACTIONS)) == count


async def test_what_was_set_for_a_session_ends_with_the_outage_that_it_made(stack: Stack) -> None:
    """New sessions are read-only for a while: a writer that went on with one would never store again."""
    writer = await stack.writer()
    await stack.administer("ALTER DATABASE {name} SET default_transaction_read_only = on")
    await stack.end_sessions()
    await stack.append(*telem())
    await eventually(lambda: writer.metric("ingest_errors_total", reason="db_error") >= 5, "tried in new sessions")
    await stack.administer("ALTER DATABASE {name} RESET default_transaction_read_only")
    await stack.has_rows("ts_measure", 1)


async def test_a_writer_frozen_in_a_transaction_holds_nobody_up(stack: Stack) -> None:
    """Its keys are let go when its entries are claimed."""
    frozen = await stack.writer(INGEST_CLAIM_IDLE_MS=300)
    async with stack.locked("device"):
        await stack.append(*telem())
        await eventually(lambda: _blocked(stack), "it waits for the lock, its telemetry is copied")
        frozen.signal(signal.SIGSTOP)
    await stack.writer(INGEST_CLAIM_IDLE_MS=300)
    await stack.has_rows("ts_measure", 1)
    frozen.signal(signal.SIGCONT)
    assert frozen.stop() == 0


async def _blocked(stack: Stack) -> bool:
    return bool(await stack.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))
