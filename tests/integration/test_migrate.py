"""Migrations on a real database, with TimescaleDB where it has it."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys

import asyncpg
import pytest

from ops.embedded import Server
from ops.migrate import migrate
from shared.database import check, migrations
from tests.support.stack import Stack


async def fetchval(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_several_processes_at_once_apply_each_migration_once(empty_database: str) -> None:
    applied = await asyncio.gather(*(migrate(empty_database) for _ in range(5)))
    assert sorted(len(some) for some in applied) == [0, 0, 0, 0, len(migrations())]
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
    newest = migrations()[-1].version
    await stack.execute(f"DELETE FROM schema_migrations WHERE version = {newest}")
    writer = stack.start("writer")
    assert writer.wait() == 2
    assert f"at version {newest - 1} of the schema" in writer.log.splitlines()[-1]


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
    await writer.says("database is away, waiting for it")
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
    def start(url: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "ops", "migrate"],
            env={"DATABASE_URL": url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    waiting = start(empty_database.replace(empty_database.rpartition(":")[2].partition("/")[0], "1"))
    assert waiting.stderr is not None
    assert "database is away, waiting for it" in await asyncio.to_thread(waiting.stderr.readline)
    waiting.kill()
    waiting.communicate()
    for said in (f"{len(migrations())} migrations applied", "nothing to do: the database is up to date"):
        out, _ = await asyncio.to_thread(start(empty_database).communicate)
        assert out.strip() == said
    wrong = start(empty_database + "_not")
    _, err = await asyncio.to_thread(wrong.communicate)
    assert wrong.returncode == 2
    assert err.startswith("DATABASE_URL: database: database ")
