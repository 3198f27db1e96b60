"""SIGTERM ends a writer after what it can still settle, whatever it waits for."""

from __future__ import annotations

import os
import signal
import time

import asyncpg
import pytest

from tests.support.stack import Stack, telem
from tests.support.streams import append_all
from tests.support.waiting import eventually
from traksense_ingest.shared.streams.keys import GROUP, key_of


async def test_sigterm_settles_the_batch_in_hand_and_leaves(stack: Stack) -> None:
    writer = await stack.writer()
    await append_all(stack, (telem(second=second) for second in range(2000)))
    assert writer.stop() == 0
    rows, backlog = await stack.count("ts_measure"), await stack.backlog()
    assert rows + backlog == 2000
    assert await stack.pending() == 0
    assert await stack.redis.xinfo_consumers(key_of(0), GROUP) == []


@pytest.mark.long
async def test_sigterm_while_a_table_is_locked_leaves_the_batch_pending(stack: Stack) -> None:
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


@pytest.mark.long
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


@pytest.mark.parametrize("metas", [(), ({"fw": "1"}, {"fw": "2"})], ids=["idle", "a device's news are withheld"])
async def test_sigterm_while_the_database_is_unreachable(stack: Stack, metas: tuple[dict[str, str], ...]) -> None:
    writer = await stack.writer()
    for second, meta in enumerate(metas):
        await stack.append(*telem(second=second, meta=meta), received_at=int(time.time() * 1000))
        await stack.has_rows("ts_measure", second + 1)
    await stack.refuse_connections()
    await writer.says("database is unreachable")
    assert writer.stop() == 0, writer.log
    assert ("changes of devices of the last" in writer.log) == bool(metas)
