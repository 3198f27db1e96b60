"""Migrations on a real database, with TimescaleDB where it has it."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys

import asyncpg
import pytest

from tests.support import program
from tests.support.stack import Stack
from traksense_ingest.ops.embedded import Server
from traksense_ingest.ops.schema.migrate import migrate
from traksense_ingest.shared.database import check, migrations


async def fetchval(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_several_processes_at_once_apply_each_migration_once(empty_database: str) -> None:
    applied = await asyncio.gather(*(migrate(empty_database) for _ in range(5)))
    assert sorted(migration.version for some in applied for migration in some) == [
        migration.version for migration in migrations()
    ]
    assert await fetchval(empty_database, "SELECT count(*) FROM schema_migrations") == len(migrations())
    assert await migrate(empty_database) == []


async def test_without_timescaledb_it_is_a_plain_table_and_a_warning(
    empty_database: str, postgres: Server, caplog: pytest.LogCaptureFixture
) -> None:
    if getattr(postgres, "has_timescaledb", False):
        pytest.skip("this PostgreSQL has timescaledb")
    with caplog.at_level(logging.WARNING):
        await migrate(empty_database)
    assert "no timescaledb" in caplog.text
    assert await _key(empty_database) == ["tenant_id", "device_id", "point_id", "ts"]


@pytest.mark.timescaledb
async def test_with_timescaledb_it_is_a_hypertable_of_one_day_chunks(empty_database: str, postgres: Server) -> None:
    if not getattr(postgres, "has_timescaledb", False):
        pytest.skip("this PostgreSQL has no timescaledb")
    await migrate(empty_database)
    interval = await fetchval(
        empty_database,
        "SELECT time_interval::text FROM timescaledb_information.dimensions WHERE hypertable_name = 'ts_measure'",
    )
    assert interval == "1 day"
    assert await _key(empty_database) == ["tenant_id", "device_id", "point_id", "ts"]
    indexes = await fetchval(empty_database, "SELECT count(*) FROM pg_indexes WHERE tablename = 'ts_measure'")
    assert indexes == 1, "a second index costs 20–30 % of the rows/s"


async def _key(url: str) -> object:
    return await fetchval(
        url,
        """SELECT array_agg(attname ORDER BY array_position(conkey, attnum))
           FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND attnum = ANY (conkey)
           WHERE conname = 'ts_measure_key'""",
    )


async def test_a_writer_refuses_a_database_that_is_not_migrated(stack: Stack, empty_database: str) -> None:
    await stack.execute("DROP SCHEMA public CASCADE")
    await stack.execute("CREATE SCHEMA public")
    writer = stack.start("writer")
    assert writer.wait() == 2
    assert writer.log.splitlines()[-1] == (
        f"DATABASE_URL: the database is at version 0 of the schema, version {migrations()[-1].version} is needed; "
        "run `traksense-ingest migrate`"
    )


async def test_a_writer_refuses_a_database_that_is_not_migrated_far_enough(stack: Stack) -> None:
    *_, before, newest = (migration.version for migration in migrations())
    await stack.execute(f"DELETE FROM schema_migrations WHERE version = {newest}")
    writer = stack.start("writer")
    assert writer.wait() == 2
    assert f"at version {before} of the schema" in writer.log.splitlines()[-1]


async def test_with_json_logs_the_last_line_is_json_too(stack: Stack) -> None:
    await stack.execute("DELETE FROM schema_migrations")
    writer = stack.start("writer", LOG_FORMAT="json")
    assert writer.wait() == 2
    last = [json.loads(line) for line in writer.log.splitlines()][-1]
    assert (last["level"], "traksense-ingest migrate" in last["message"]) == ("CRITICAL", True)


async def test_a_database_that_is_newer_is_fine(stack: Stack) -> None:
    await stack.execute("INSERT INTO schema_migrations (version, name) VALUES (9999, 'tomorrow')")
    await stack.writer()


async def test_a_writer_refuses_a_database_that_does_not_exist(stack: Stack) -> None:
    writer = stack.start("writer", DATABASE_URL=stack.database_url + "_not")
    assert writer.wait() == 2
    assert writer.log.splitlines()[-1].startswith("DATABASE_URL: database: database ")
    assert "Traceback" not in writer.log


async def test_a_writer_waits_for_a_database_server_that_is_away(stack: Stack) -> None:
    await stack.refuse_connections()
    writer = stack.start("writer")
    await writer.says("database is unreachable, waiting for it")
    await stack.allow_connections()
    await writer.ready()


async def test_the_owner_of_a_database_may_migrate_it(empty_database: str) -> None:
    name = empty_database.rpartition("/")[2]
    admin = await asyncpg.connect(empty_database)
    await admin.execute(f"CREATE ROLE owner_{name} LOGIN PASSWORD 'owner'")
    await admin.execute(f"ALTER DATABASE {name} OWNER TO owner_{name}")
    await admin.execute(f"ALTER SCHEMA public OWNER TO owner_{name}")
    url = empty_database.replace("//postgres:postgres@", f"//owner_{name}:owner@")
    assert len(await migrate(url)) == len(migrations())
    await check(url)
    await admin.execute(f"REASSIGN OWNED BY owner_{name} TO postgres")
    await admin.execute(f"ALTER DATABASE {name} OWNER TO postgres")
    await admin.execute(f"DROP OWNED BY owner_{name}")
    await admin.execute(f"DROP ROLE owner_{name}")
    await admin.close()


async def test_the_command_waits_for_a_server_and_says_once_what_it_did(empty_database: str) -> None:
    nowhere = empty_database.replace(empty_database.rpartition(":")[2].partition("/")[0], "1")
    assert "database is unreachable, waiting for it" in await asyncio.to_thread(first_line_of_migrate, nowhere)
    for said in (f"{len(migrations())} migrations applied", "nothing to do: the database is up to date"):
        assert (await run_migrate(empty_database)).stdout.strip() == said
    wrong = await run_migrate(empty_database + "_not")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("DATABASE_URL: database: database ")


def first_line_of_migrate(url: str) -> str:
    """On stderr, started as a user does it."""
    command = [sys.executable, "-m", "traksense_ingest.ops", "migrate"]
    with subprocess.Popen(command, env={"DATABASE_URL": url}, stderr=subprocess.PIPE, text=True) as waiting:
        assert waiting.stderr is not None
        line = waiting.stderr.readline()
        waiting.kill()
    return line


async def run_migrate(url: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(program.run, "ops", "migrate", environment={"DATABASE_URL": url})
