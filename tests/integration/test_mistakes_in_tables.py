"""What operators do to the tables while both services run: nothing is lost, nothing gets stuck."""

from __future__ import annotations

import asyncio
import json

import asyncpg

from tests.support.mistakes import MESSAGES, nothing_is_lost
from tests.support.process import Process
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.ops.schema.migrate import migrate
from traksense_ingest.shared.database import migrations

RUN_AGAIN = [5, 7]  # the migrations that may be, by their first lines


async def test_migrations_run_while_writers_write(stack: Stack) -> None:
    """Each is applied by one of five processes that begin at once, under load, and again and again while that lasts."""

    async def mistake(stack: Stack, receiver: Process, writer: Process) -> None:
        assert await stack.count("ts_measure") < len(MESSAGES)
        while await stack.count("ts_measure") < len(MESSAGES):
            await stack.execute(f"DELETE FROM schema_migrations WHERE version IN ({', '.join(map(str, RUN_AGAIN))})")
            applied = await asyncio.gather(*(migrate(stack.database_url) for _ in range(5)))
            assert sorted(migration.version for some in applied for migration in some) == RUN_AGAIN

    assert all(
        "may be run again" in migration.sql.lower() for migration in migrations() if migration.version in RUN_AGAIN
    )
    await nothing_is_lost(stack, mistake)
    assert await stack.fetchval("SELECT count(*) FROM schema_migrations") == len(migrations())


async def test_a_database_one_version_behind_is_refused_by_a_writer_that_starts(stack: Stack) -> None:
    running = await stack.writer()
    newest = migrations()[-1].version
    await stack.execute(f"DELETE FROM schema_migrations WHERE version = {newest}")
    refused = stack.start("writer")
    assert refused.wait() == 2
    assert refused.log.splitlines()[-1].startswith(
        f"DATABASE_URL: the database is at version {newest - 1} of the schema, version {newest} is needed"
    )
    await stack.append(*telem())
    await stack.has_rows("ts_measure", 1)
    assert running.popen.poll() is None


async def test_the_table_is_altered_while_writers_write(stack: Stack) -> None:
    """The writer waits for the lock; columns of the operator's own, and another order of ours, do not matter."""

    async def mistake(stack: Stack, receiver: Process, writer: Process) -> None:
        connection = await asyncpg.connect(stack.database_url)
        async with connection.transaction():
            await connection.execute("ALTER TABLE ts_measure ADD COLUMN note text DEFAULT md5(random()::text)")
            await connection.execute("ALTER TABLE ts_measure DROP COLUMN unit CASCADE, ADD COLUMN unit text")
            await connection.execute("CREATE INDEX ON ts_measure (ts)")
            await eventually(stack.waits_for_a_lock, "a writer waits for the lock")
        await connection.close()

    await nothing_is_lost(stack, mistake)
    points = [{"name": "p0", "v": 1}, {"name": "new", "v": True, "u": "°C"}]
    topic, payload = telem("dev0", 0, points)
    await stack.append(topic, json.dumps(json.loads(payload) | {"meta": {"a": 1}}).encode())
    await stack.has_rows("ts_measure", len(MESSAGES) + 1)
    (row,) = await stack.fetch("SELECT * FROM ts_measure WHERE point_id = 'new'")
    assert (row["v_bool"], row["unit"], json.loads(row["meta"])) == (True, "°C", {"a": 1})
