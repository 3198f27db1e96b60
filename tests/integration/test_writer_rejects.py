"""What a writer can't store is a dead letter, and holds up no other message."""

from __future__ import annotations

import json

import asyncpg
import pytest

from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.shared.failure import Kind, kind_of


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
    await eventually(lambda: writer.metric("ingest_errors_total", reason="data_error") == 10)


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
    await writer.counts("ingest_deferred_total", 2)


async def test_large_payloads_and_many_points(stack: Stack) -> None:
    await stack.append(*telem("many", points=10_000))
    await stack.append(*telem("text", points=[{"name": "t", "v": "x" * 900_000}]))
    await stack.append("traksense/t/s/big/telem", b"y" * 1_048_577)
    await stack.writer()
    await stack.has_rows("ts_measure", 10_001)
    (row,) = await stack.fetch("SELECT * FROM ingest_errors")
    assert row["error_class"] == "payload_too_large"
    assert len(row["payload"]) == 1_048_577


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
