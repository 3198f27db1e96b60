"""A database that works, but not fast enough for a whole batch."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from tests.integration.test_crash_points import lane_of
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import Server


async def slow_down(stack: Stack) -> None:
    """20 ms a row."""
    await stack.execute(
        """CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN PERFORM pg_sleep(0.02); RETURN NEW; END $$"""
    )
    await stack.execute("CREATE TRIGGER slow BEFORE INSERT ON ts_measure FOR EACH ROW EXECUTE FUNCTION slow()")


@pytest.mark.long
async def test_what_takes_too_long_is_stored_in_smaller_transactions(stack: Stack) -> None:
    await slow_down(stack)
    await stack.administer("ALTER DATABASE {name} SET statement_timeout = '1s'")
    for second in range(300):
        await stack.append(*telem(second=second))
    writer = await stack.writer()
    await stack.has_rows("ts_measure", 300)
    assert "database is unreachable, waiting for it: canceling statement due to statement timeout" in writer.log
    assert await stack.count("ingest_errors") == 0
    assert writer.metric("ingest_duplicates_total", type="telem") == 0
    await eventually(lambda: writer.metric("ingest_messages_total", type="telem") == 300)
    assert writer.metric("ingest_points_total") == 300
    assert writer.metric("ingest_errors_total", reason="db_error") < 20, "reads are smaller as well"


@pytest.mark.long
async def test_a_message_that_takes_too_long_by_itself_is_tried_again_and_holds_up_no_other(stack: Stack) -> None:
    """With the time it needs it is stored."""
    await slow_down(stack)
    await stack.administer("ALTER DATABASE {name} SET statement_timeout = '1s'")
    await stack.append(*telem("long", points=100))
    await stack.append(*telem("short"))
    writer = await stack.writer(INGEST_BATCH_MS=100, INGEST_CLAIM_IDLE_MS=300, INGEST_MAX_DELIVERIES=1000)
    await writer.says("failed at try 2 and stay pending")
    assert await stack.count("ts_measure") == 1
    await eventually(lambda: writer.get("/readyz")[0] == 200)
    await stack.administer("ALTER DATABASE {name} RESET statement_timeout")
    await stack.end_sessions()
    await stack.has_rows("ts_measure", 101)
    assert await stack.count("ingest_errors") == 0


@pytest.mark.long
async def test_a_message_that_takes_too_long_by_itself_is_given_up_at_its_last_try(stack: Stack) -> None:
    await slow_down(stack)
    await stack.administer("ALTER DATABASE {name} SET statement_timeout = '1s'")
    await stack.append(*telem("long", points=100))
    await stack.writer(INGEST_CLAIM_IDLE_MS=300, INGEST_MAX_DELIVERIES=2)
    await stack.has_rows("ingest_errors", 1)
    (row,) = await stack.fetch("SELECT error_class, deliveries, sqlstate, reason FROM ingest_errors")
    assert tuple(row)[:3] == ("data_error", 2, "57014")
    assert row["reason"].endswith("(2 tries)")


async def test_a_row_that_somebody_has_locked_condemns_nothing(stack: Stack) -> None:
    """Its message is tried again until the lock is gone; others are stored meanwhile, even if no message of another
    device is known to be good."""
    await stack.administer("ALTER DATABASE {name} SET lock_timeout = '200ms'")
    await stack.append(*telem("locked"))
    writer = await stack.writer(INGEST_CLAIM_IDLE_MS=300, INGEST_MAX_DELIVERIES=1000)
    await stack.has_rows("ts_measure", 1)
    blocker = await asyncpg.connect(stack.database_url)
    async with blocker.transaction():
        await blocker.execute("UPDATE device SET site_id = site_id WHERE device_id = 'locked'")
        await stack.append(*telem("locked", 60), received_at=1_700_000_090_000)
        await writer.says("failed at try 2 and stay pending")
        await stack.append(*telem("free", 60))
        await eventually(lambda: _has_device(stack, "free"))
    await blocker.close()
    await stack.has_rows("ts_measure", 3)
    assert await stack.count("ingest_errors") == 0


async def test_a_batch_that_touches_too_many_chunks_is_stored_in_smaller_ones(
    stack: Stack, timescale: str, postgres: Server
) -> None:
    """Each message of another day, and fewer locks than that many chunks take (53200). Live messages do not wait."""
    await stack.administer("ALTER SYSTEM SET max_locks_per_transaction = 10")
    postgres.stop()
    postgres.start()
    try:
        for day in range(1500):
            await stack.append(*telem("history", -86_400 * day))
        writer = await stack.writer(INGEST_BATCH_SIZE=5000)
        await writer.says("out of shared memory")
        for number in range(5):
            await stack.append(*telem(f"live{number}"))
            await eventually(lambda number=number: _has_device(stack, f"live{number}"))  # type: ignore[misc]
        await eventually(lambda: _is_empty(stack))
        assert await stack.count("device") == 6
        assert await stack.count("ingest_errors") == 0
        assert writer.metric("ingest_deferred_total") == 0
    finally:
        await stack.administer("ALTER SYSTEM RESET max_locks_per_transaction")
        postgres.stop()
        postgres.start()


async def _has_device(stack: Stack, device: str) -> bool:
    """What the writer does at this moment may leave no lock for this connection."""
    try:
        return bool(await stack.fetchval(f"SELECT count(*) FROM device WHERE device_id = '{device}'"))
    except asyncpg.OutOfMemoryError:
        return False


async def _is_empty(stack: Stack) -> bool:
    return not await stack.backlog()


@pytest.mark.long
async def test_our_own_time_out_counts_as_the_databases(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("traksense_ingest.shared.database.COMMAND_TIMEOUT_S", 1.0)
    await slow_down(stack)
    for second in range(200):
        await stack.append(*telem(second=second))
    stop = asyncio.Event()
    async with lane_of(stack, "lane", stop) as lane:
        running = asyncio.create_task(lane.run(stop))
        await stack.has_rows("ts_measure", 200)
        stop.set()
        await running
    assert await stack.count("ingest_errors") == 0
