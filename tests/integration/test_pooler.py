"""Services through pgbouncer, as Debian has it, with its own defaults: session and transaction pooling."""

from __future__ import annotations

import asyncio
import signal
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from tests.support.pgbouncer import Pgbouncer
from tests.support.pooled import MODES, messages, mode, pooled
from tests.support.process import Process
from tests.support.stack import START, Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.shared.database import open_pool
from traksense_ingest.writer.store.sql import WAITING_TRANSACTIONS
from traksense_ingest.writer.watch.stuck_transactions import StuckTransactions

pytestmark = pytest.mark.long


@pytest.mark.parametrize(
    "pooler", [mode("session"), mode("transaction", default_pool_size="2")], indirect=True, ids=MODES
)
async def test_nothing_is_lost_through_a_pooler_and_nothing_is_a_dead_letter(stack: Stack, pooler: Pgbouncer) -> None:
    """Two writers under load; a writer and the pooler are killed, and sessions of the server ended."""
    start = partial(
        stack.writer, DATABASE_URL=pooler.url, INGEST_CLAIM_IDLE_MS=300, INGEST_BATCH_SIZE=10, DB_POOL_MIN=1
    )
    writers = [await start() for _ in range(2)]

    async def load(count: int) -> None:
        for message in messages(count):
            await stack.append(*message)

    async def break_things() -> None:
        await eventually(lambda: has_some(100))
        writers[0].kill()
        await eventually(lambda: has_some(200))
        writers[0] = await start()
        await asyncio.to_thread(pooler.kill)
        await asyncio.to_thread(pooler.start)
        await eventually(lambda: has_some(500))
        await stack.end_sessions()
        # What was stored and not settled, or stored twice at once: COPY is refused, the other ways are taken.
        for message in messages(40):
            await stack.append(*message)

    async def has_some(rows: int) -> bool:
        return await stack.count("ts_measure") >= rows

    await asyncio.gather(load(400), break_things())
    await stack.has_rows("ts_measure", 1200)
    stored = await stack.fetch("SELECT device_id, ts FROM ts_measure")
    assert {tuple(row) for row in stored} == {
        (f"dev{number % 7}", START + timedelta(seconds=number)) for number in range(400)
    }
    assert (await stack.count("cmd_ack"), await stack.count("device_event")) == (80, 80)
    assert await stack.count("ingest_errors") == 0
    assert [writer.stop() for writer in writers] == [0, 0]
    assert not any("Traceback" in writer.log for writer in writers)


READ_ONLY = "default_transaction_read_only"


async def test_a_setting_that_was_reset_is_not_kept_by_a_pooler(stack: Stack, pooler: Pgbouncer) -> None:
    """A session gets it when it begins. The writer leaves that session within a transaction, which ends it."""
    writer = await stack.writer(DATABASE_URL=pooler.url)
    await stack.administer(f"ALTER DATABASE {{name}} SET {READ_ONLY} = on")
    await stores_nothing(stack, writer, "transactions are read-only")
    await stack.administer(f"ALTER DATABASE {{name}} RESET {READ_ONLY}")
    await stores_all(stack)


@pytest.mark.timescaledb
async def test_a_restore_ends_behind_a_pooler(stack: Stack, timescale: str, pooler: Pgbouncer) -> None:
    writer = await stack.writer(DATABASE_URL=pooler.url)
    await stack.execute("SELECT timescaledb_pre_restore()")
    await stores_nothing(stack, writer, "timescaledb.restoring is on")
    await stack.execute("SELECT timescaledb_post_restore()")
    await stores_all(stack)


async def stores_nothing(stack: Stack, writer: Process, line: str) -> None:
    """Messages come in after new sessions of the server have begun; none is stored."""
    await stack.end_sessions()
    for message in messages(10):
        await stack.append(*message)
    await writer.says(line)
    assert await stack.count("ts_measure") == 0


async def stores_all(stack: Stack) -> None:
    await stack.has_rows("ts_measure", 30)
    assert await stack.count("ingest_errors") == 0


async def test_what_a_pooler_will_never_do_ends_a_writer_that_starts(stack: Stack, pooler: Pgbouncer) -> None:
    for url, reason in (
        (f"{pooler.url}&options=-c%20work_mem%3D1MB", "unsupported startup parameter: options"),
        (f"{pooler.url.partition('?')[0]}_not", "does not exist"),
    ):
        writer = stack.start("writer", DATABASE_URL=url)
        assert writer.wait() == 2
        assert reason in writer.log.splitlines()[-1]
        assert "Traceback" not in writer.log


async def test_a_pooler_that_is_full_or_without_its_server_is_waited_for(stack: Stack, pooler: Pgbouncer) -> None:
    """Whatever it answers meanwhile is an outage."""
    pooler.reload(max_client_conn="1", query_wait_timeout="1", server_login_retry="1")
    writer = stack.start("writer", DATABASE_URL=pooler.url, DB_POOL_MIN=2)
    await writer.says("database is unreachable, waiting for it: no more connections allowed")
    pooler.reload(max_client_conn="100")
    await writer.ready()
    async with pooled(pooler) as connection:
        await connection.execute("BEGIN")  # it has the only session of the server
        await stack.append(*telem())
        await writer.says("query_wait_timeout")
        assert writer.get("/readyz")[0] == 503
    await stack.has_rows("ts_measure", 1)
    await stack.refuse_connections()
    await stack.append(*telem(second=1))
    await eventually(lambda: writer.get("/readyz")[0] == 503)
    await stack.allow_connections()
    await stack.has_rows("ts_measure", 2)
    assert await stack.count("ingest_errors") == 0
    assert writer.stop() == 0


@pytest.mark.parametrize(
    "pooler", [mode("transaction", application_name_add_host="1"), mode("session")], indirect=True, ids=MODES[::-1]
)
async def test_a_frozen_writers_transaction_is_ended_through_a_pooler(stack: Stack, pooler: Pgbouncer) -> None:
    frozen = await stack.writer(DATABASE_URL=pooler.url)
    monitor = await open_pool(pooler.url, 1, 1)
    async with stack.locked("device"):
        await stack.append(*telem())
        await eventually(stack.waits_for_a_lock)
        frozen.signal(signal.SIGSTOP)
    await eventually(lambda: waits(monitor))
    now = 0.0
    watch = StuckTransactions(monitor, 30, lambda: now)
    assert await watch.end() == 0
    now = 31.0
    assert await watch.end() >= 1  # it may have been about to copy a ledger as well
    monitor.terminate()
    frozen.signal(signal.SIGCONT)
    await stack.has_rows("ts_measure", 1)
    assert frozen.stop() == 0


async def waits(monitor: Any) -> bool:
    return bool(await monitor.fetch(WAITING_TRANSACTIONS))
