"""What runs beside the lanes of a writer may fail: storing goes on."""

from __future__ import annotations

import asyncpg
import pytest

from tests.support.process import Process
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually


async def stores(stack: Stack, count: int, writer: Process, first: int = 0) -> None:
    for second in range(first, first + count):
        await stack.append(*telem(second=second))
        await stack.has_rows("ts_measure", second + 1)
    assert writer.popen.poll() is None, writer.log


async def test_the_ledgers_table_is_gone_for_a_while(stack: Stack) -> None:
    writer = await stack.writer()
    await stack.execute("ALTER TABLE stream_ledger RENAME TO something_else")
    await writer.says('relation "stream_ledger" does not exist')
    await stores(stack, 5, writer)
    assert writer.get("/readyz")[0] == 200
    await stack.execute("ALTER TABLE something_else RENAME TO stream_ledger")
    await eventually(lambda: _copied(stack, 5))
    assert writer.log.count("Traceback") == 1
    assert writer.stop() == 0


async def test_a_privilege_on_the_ledgers_table_is_taken_away(stack: Stack) -> None:
    name = stack.database_url.rpartition("/")[2]
    await stack.execute(f"CREATE ROLE less_{name} LOGIN IN ROLE traksense_writer BYPASSRLS PASSWORD 'less'")
    url = stack.database_url.replace("//postgres:postgres@", f"//less_{name}:less@")
    writer = await stack.writer(DATABASE_URL=url)
    try:
        await stack.execute("REVOKE UPDATE ON stream_ledger FROM traksense_writer")
        await stores(stack, 1, writer)
        await writer.says("permission denied for table stream_ledger")
        await stores(stack, 5, writer, first=1)
        assert writer.get("/readyz")[0] == 200
        assert writer.log.count("Traceback") == 1
    finally:
        writer.kill()
        await stack.execute("GRANT UPDATE ON stream_ledger TO traksense_writer")
        await stack.execute(f"DROP ROLE less_{name}")


@pytest.mark.long
async def test_the_ledgers_table_is_locked_for_long(stack: Stack) -> None:
    writer = await stack.writer()
    connection = await asyncpg.connect(stack.database_url)
    async with connection.transaction():
        await connection.execute("LOCK TABLE stream_ledger IN ACCESS EXCLUSIVE MODE")
        await stores(stack, 20, writer)
        await writer.says("the ledgers' copies wait for stream_ledger")
        await stores(stack, 1, writer, first=20)
        assert writer.get("/readyz")[0] == 200
    await connection.close()
    await writer.says("the ledgers' copies are kept again")
    await eventually(lambda: _copied(stack, 21))
    assert "is unreachable" not in writer.log
    assert writer.metric("ingest_errors_total", reason="db_error") == 0


async def _copied(stack: Stack, stored: int) -> bool:
    return [row["stored"] for row in await stack.fetch("SELECT stored FROM stream_ledger")] == [stored]
