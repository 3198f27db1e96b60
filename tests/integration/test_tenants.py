"""Row level security: a reader sees its tenant's rows and no others."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import asyncpg
import pytest

from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import Server

TABLES = ("ts_measure", "cmd_ack", "command", "device_event", "device", "device_point", "ingest_errors")
VIEWS = (*TABLES, "latest", "device_state", "device_status")  # of the schema tenant


@pytest.fixture
async def filled(stack: Stack) -> Stack:
    """A row of each of two tenants in each table, and a dead letter of nobody."""
    ack = json.dumps({"schema": "v1", "cmd_id": "c", "ok": True}).encode()
    event = json.dumps({"schema": "v1", "event_type": "boot", "ts": "2025-10-07T15:30:00Z"}).encode()
    for tenant in ("one", "two"):
        await stack.append(*telem(tenant=tenant))
        await stack.append(f"traksense/{tenant}/s/dev/ack", ack)
        await stack.append(f"traksense/{tenant}/s/dev/event", event)
        await stack.append(f"traksense/{tenant}/s/dev/cmd", b'{"schema": "v1", "cmd_id": "without an answer"}')
        await stack.append(f"traksense/{tenant}/s/dev/state", b"online")
        await stack.append(f"traksense/{tenant}/s/dev/telem", b"poison")
    await stack.append("nobody", b"poison")
    await stack.writer()
    await stack.has_rows("ingest_errors", 3)
    return stack


@pytest.fixture
async def reader(filled: Stack) -> AsyncIterator[Any]:
    """A connection as a login role that is a member of traksense_reader."""
    async for connection in connected_as(filled, "IN ROLE traksense_reader"):
        yield connection


@pytest.fixture
async def granted(filled: Stack) -> AsyncIterator[Any]:
    """A connection as a role that somebody gave SELECT on the tables themselves."""
    async for connection in connected_as(filled, "", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"):
        yield connection


async def connected_as(stack: Stack, options: str, grant: str = "SELECT 1") -> AsyncIterator[Any]:
    role = f"reader_{stack.database_url.rpartition('/')[2]}"
    await stack.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'reader' {options}")
    await stack.execute(grant.format(role=role))
    connection = await asyncpg.connect(stack.database_url.replace("//postgres:postgres@", f"//{role}:reader@"))
    assert await connection.fetchval("SELECT current_user") == role
    yield connection
    await connection.close()
    await stack.execute(f"DROP OWNED BY {role}")
    await stack.execute(f"DROP ROLE {role}")


async def test_a_reader_sees_its_tenant_alone(reader: Any) -> None:
    for source in (*VIEWS, "latest_of('dev')"):
        await sees_its_tenant_alone(reader, f"tenant.{source}")


async def test_no_view_is_left_out(filled: Stack) -> None:
    views = await filled.fetch("SELECT viewname FROM pg_views WHERE schemaname = 'tenant'")
    assert {row["viewname"] for row in views} == {*VIEWS}


async def test_so_does_who_was_given_the_tables_themselves(granted: Any) -> None:
    for table in (*TABLES, "device_status"):
        await sees_its_tenant_alone(granted, f"public.{table}")


async def sees_its_tenant_alone(connection: Any, table: str) -> None:
    seen = f"SELECT array_agg(DISTINCT tenant_id) FROM {table}"
    assert await connection.fetchval(seen) is None, f"{table}: nothing while the setting is absent"
    for tenant in ("one", "two"):
        await connection.execute("SELECT set_config('app.tenant_id', $1, false)", tenant)
        assert await connection.fetchval(seen) == [tenant], table
    for stranger in ("three", "", "%", "one' OR '1'='1"):
        await connection.execute("SELECT set_config('app.tenant_id', $1, false)", stranger)
        assert await connection.fetchval(seen) is None, table
    await connection.execute("RESET app.tenant_id")
    assert await connection.fetchval(seen) is None, table


async def is_denied(connection: Any, statement: str) -> None:
    joined = asyncpg.ObjectNotInPrerequisiteStateError  # nobody may change a view of two tables
    with suppress(asyncpg.InsufficientPrivilegeError, joined):
        await connection.execute(statement)
        pytest.fail(f"allowed: {statement}")


async def test_a_reader_may_neither_write_nor_go_round_the_views(reader: Any) -> None:
    await reader.execute("SELECT set_config('app.tenant_id', 'one', false)")
    for relation in (*(f"tenant.{view}" for view in VIEWS), *(f"public.{table}" for table in TABLES)):
        await is_denied(reader, f"DELETE FROM {relation}")
        await is_denied(reader, f"UPDATE {relation} SET tenant_id = 'one'")
        await is_denied(reader, f"INSERT INTO {relation} (tenant_id) VALUES ('one')")
    for table in TABLES:
        await is_denied(reader, f"SELECT count(*) FROM public.{table}")
        await is_denied(reader, f"TRUNCATE public.{table}")


async def test_a_function_of_the_readers_own_sees_no_other_rows(filled: Stack, reader: Any) -> None:
    """Cheap enough for the planner to ask it before anything else, were the view no barrier."""
    heard: list[str] = []
    reader.add_log_listener(lambda _connection, message: heard.append(message.message))
    await reader.execute("""
        CREATE FUNCTION pg_temp.overhear(source text, tenant text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$
        BEGIN RAISE NOTICE '% %', source, tenant; RETURN true; END $$""")
    await reader.execute("SELECT set_config('app.tenant_id', 'one', false)")
    for view in VIEWS:
        await reader.fetch(f"SELECT * FROM tenant.{view} WHERE pg_temp.overhear('{view}', tenant_id)")
    expected = {f"{view} one" for view in VIEWS}
    await eventually(lambda: expected <= set(heard))
    assert set(heard) == expected


DENIED = (
    "SELECT * FROM public.stream_ledger",
    "SELECT * FROM public.schema_migrations",
    "SELECT * FROM public.sparkplug_birth",
    "SELECT * FROM public.device_status",
    "SELECT public.has_state('one', 'dev', '{}')",
    "CREATE TABLE tenant.mine ()",
    "CREATE TABLE public.mine ()",
    "CREATE OR REPLACE VIEW tenant.device AS SELECT * FROM public.device",
    "ALTER VIEW tenant.device RESET (security_barrier)",
    "DROP VIEW tenant.device",
    "SET ROLE traksense_writer",
    "SET ROLE postgres",
    "SET row_security = off; SELECT * FROM public.device",
    "COPY public.device TO STDOUT",
    "SELECT pg_read_file('/etc/passwd')",
)


async def test_a_reader_may_nothing_else(reader: Any) -> None:
    for statement in DENIED:
        await is_denied(reader, statement)


async def test_statistics_tell_a_reader_nothing(filled: Stack, reader: Any) -> None:
    await filled.execute("ANALYZE")
    assert await filled.fetchval("SELECT count(*) FROM pg_stats WHERE tablename = 'device'") > 0
    assert await reader.fetchval("SELECT count(*) FROM pg_stats WHERE tablename = ANY ($1)", TABLES) == 0


@pytest.mark.timescaledb
async def test_a_reader_may_not_read_a_chunk(filled: Stack, reader: Any, postgres: Server) -> None:
    if not getattr(postgres, "has_timescaledb", False):
        pytest.skip("this PostgreSQL has no timescaledb")
    chunks = await filled.fetch("SELECT show_chunks('ts_measure')::text AS chunk")
    assert chunks
    for row in chunks:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.fetchval(f"SELECT count(*) FROM {row['chunk']}")


async def test_the_writer_stored_for_all(filled: Stack) -> None:
    for table in TABLES:
        assert await filled.fetchval(f"SELECT count(DISTINCT tenant_id) FROM {table}") == 2
    assert await filled.fetchval("SELECT count(*) FROM ingest_errors WHERE tenant_id IS NULL") == 1


async def test_a_writer_refuses_a_role_that_may_not_copy(stack: Stack) -> None:
    name = stack.database_url.rpartition("/")[2]
    await stack.execute(f"CREATE ROLE weak_{name} LOGIN PASSWORD 'weak'")
    await stack.execute(f"GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO weak_{name}")
    writer = stack.start(
        "writer", DATABASE_URL=stack.database_url.replace("//postgres:postgres@", f"//weak_{name}:weak@")
    )
    assert writer.wait() == 2
    assert f"the role weak_{name} is under row level security" in writer.log.splitlines()[-1]
    await stack.execute(f"DROP OWNED BY weak_{name}")
    await stack.execute(f"DROP ROLE weak_{name}")
