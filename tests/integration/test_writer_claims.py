"""Entries of a writer that is dead, frozen or slow: claimed by another one, or left to it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import asyncpg

from tests.support.process import Process
from tests.support.stack import Stack, telem
from tests.support.streams import append_all
from tests.support.waiting import eventually
from traksense_ingest.shared.database import open_pool
from traksense_ingest.shared.streams.keys import GROUP, key_of
from traksense_ingest.writer.store.sql import WAITING_TRANSACTIONS
from traksense_ingest.writer.watch.stuck_transactions import StuckTransactions


async def test_a_dead_writers_entries_are_claimed_and_their_count_is_not_raised(stack: Stack) -> None:
    await append_all(stack, (telem(second=second) for second in range(300)))
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
    await append_all(stack, (telem(second=second, points=5) for second in range(100)))
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
    await append_all(stack, (telem(f"dev{second % 5}", second, points=4) for second in range(5000)))
    for _ in range(3):
        writer = await stack.writer(INGEST_CLAIM_IDLE_MS=300, INGEST_BATCH_SIZE=100)
        await eventually(lambda: stack.count("ts_measure"))
        writer.kill()
    await stack.writer(INGEST_CLAIM_IDLE_MS=300)
    await stack.has_rows("ts_measure", 20_000)
    assert await stack.count("ingest_errors") == 0


async def test_what_waits_for_its_batch_to_fill_is_not_claimed(stack: Stack) -> None:
    """Not even where it waits for longer than it takes to be claimed."""
    waiting = await stack.writer(INGEST_BATCH_MS=1500, INGEST_CLAIM_IDLE_MS=300)
    other = await stack.writer(INGEST_BATCH_MS=1500, INGEST_CLAIM_IDLE_MS=300)
    await stack.append(*telem())
    await stack.has_rows("ts_measure", 1)
    assert [writer.metric("ingest_redeliveries_total") for writer in (waiting, other)] == [0, 0]


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

    columns = ("tenant_id", "device_id", "site_id", "meta", "first_seen", "last_seen")
    copy = asyncio.create_task(copying.copy_to_table("device", source=stalls(), columns=columns))
    now = 0.0
    frozen = StuckTransactions(monitor, 30, lambda: now)
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


async def test_a_writer_frozen_in_a_transaction_holds_nobody_up(stack: Stack) -> None:
    """Its keys are let go when its entries are claimed."""
    frozen = await stack.writer(INGEST_CLAIM_IDLE_MS=300)
    async with stack.locked("device"):
        await stack.append(*telem())
        await eventually(stack.waits_for_a_lock, "it waits for the lock, its telemetry is copied")
        frozen.signal(signal.SIGSTOP)
    await stack.writer(INGEST_CLAIM_IDLE_MS=300)
    await stack.has_rows("ts_measure", 1)
    frozen.signal(signal.SIGCONT)
    assert frozen.stop() == 0
