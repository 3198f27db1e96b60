"""A database that works, but not fast enough for a whole batch."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.test_crash_points import lane_of
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually


async def slow_down(stack: Stack) -> None:
    """20 ms a row."""
    await stack.execute(
        """CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN PERFORM pg_sleep(0.02); RETURN NEW; END $$"""
    )
    await stack.execute("CREATE TRIGGER slow BEFORE INSERT ON ts_measure FOR EACH ROW EXECUTE FUNCTION slow()")


async def test_what_takes_too_long_is_stored_in_smaller_transactions(stack: Stack) -> None:
    await slow_down(stack)
    await stack.administer("ALTER DATABASE {name} SET statement_timeout = '1s'")
    for second in range(300):
        await stack.append(*telem(second=second))
    writer = await stack.writer()
    await stack.has_rows("ts_measure", 300)
    assert "database is away, waiting for it: canceling statement due to statement timeout" in writer.log
    assert await stack.count("ingest_errors") == 0
    assert writer.metric("ingest_duplicates_total", type="telem") == 0
    assert writer.metric("ingest_points_total") == writer.metric("ingest_messages_total", type="telem") == 300
    assert writer.metric("ingest_errors_total", reason="db_error") < 20, "reads are smaller as well"


async def test_a_message_that_takes_too_long_by_itself_is_waited_for(stack: Stack) -> None:
    await slow_down(stack)
    await stack.administer("ALTER DATABASE {name} SET statement_timeout = '1s'")
    await stack.append(*telem("long", points=100))
    await stack.append(*telem("short"))
    writer = await stack.writer(INGEST_BATCH_MS=100)
    await eventually(lambda: writer.metric("ingest_errors_total", reason="db_error") >= 3)
    assert await stack.count("ingest_errors") == 0
    assert writer.get("/readyz")[0] == 503
    await stack.administer("ALTER DATABASE {name} RESET statement_timeout")
    await stack.has_rows("ts_measure", 101)
    assert await stack.count("ingest_errors") == 0
    assert writer.metric("ingest_deferred_total") == 0


async def test_our_own_time_out_counts_as_the_databases(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.database.COMMAND_TIMEOUT_S", 1.0)
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
