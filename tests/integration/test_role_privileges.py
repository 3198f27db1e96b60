"""The role traksense_writer: what else it tries is refused, and what it lacks is named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.support.stack import Stack, telem
from tests.support.writer_role import SECRET, AsWriterRole, as_writer_role
from traksense_ingest.ops.embedded import Server
from traksense_ingest.ops.schema.migrate import migrate
from traksense_ingest.shared.database import NotMigrated, check, migrations

pytestmark = pytest.mark.long

OURS = (5, 7, 10, 13, 14, 15, 16, 17, 19)  # migrations that may be run again, as docs/security.md says
AGAIN = "".join(migration.sql for migration in migrations() if migration.version in OURS)

FORBIDDEN = [
    *(
        f"DELETE FROM {table}"
        for table in ("ts_measure", "cmd_ack", "command", "device_event", "device", "ingest_errors")
    ),
    *(f"TRUNCATE {table}" for table in ("ts_measure", "cmd_ack", "command", "device_event", "device", "ingest_errors")),
    *(f"DROP TABLE {table}" for table in ("ts_measure", "staging_of_another", "schema_migrations")),
    "DELETE FROM stream_ledger",
    "SELECT v_num FROM ts_measure",
    "COPY ts_measure TO STDOUT",
    "SELECT data FROM device_event",
    "UPDATE ts_measure SET v_num = 0",
    "UPDATE device_event SET data = NULL",
    "UPDATE ingest_errors SET replayed_at = now()",
    "UPDATE schema_migrations SET name = 'mine'",
    "INSERT INTO schema_migrations (version, name) VALUES (9999, 'mine')",
    "DELETE FROM schema_migrations",
    "ALTER TABLE ts_measure ADD COLUMN mine integer",
    "ALTER TABLE ts_measure DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE cmd_ack OWNER TO CURRENT_USER",
    "CREATE INDEX mine ON cmd_ack (err)",
    "CREATE TRIGGER mine BEFORE INSERT ON cmd_ack FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE POLICY mine ON cmd_ack USING (true)",
    "CREATE TABLE public.mine ()",
    "CREATE FUNCTION public.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    "CREATE SCHEMA mine",
    "CREATE EXTENSION dblink",
    "SELECT * FROM tenant.ts_measure",
    "SELECT * FROM tenant.latest",
    "SELECT * FROM tenant.command",
    "SELECT * FROM tenant.device_state",
    "SELECT * FROM tenant.device_status",
    "SELECT * FROM tenant.latest_of('dev')",
    "DELETE FROM device_point",
    "TRUNCATE device_point",
    "DELETE FROM sparkplug_birth",
    "TRUNCATE sparkplug_birth",
    "SELECT * FROM apart.secrets",
    "CREATE TABLE tenant.mine ()",
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION postgres",
    "CREATE ROLE mine",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "ALTER ROLE traksense_reader LOGIN",
    "GRANT traksense_reader TO CURRENT_USER",
    "GRANT pg_read_all_data TO CURRENT_USER",
    "SELECT rolpassword FROM pg_authid",
    "SELECT * FROM pg_shadow",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('.')",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "COPY (SELECT 1) TO '/tmp/mine'",
    "COPY ts_measure FROM '/etc/passwd'",
    "ALTER SYSTEM SET fsync = off",
    "SET session_replication_role = replica",
    "SELECT pg_reload_conf()",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres' AND pid <> pg_backend_pid()",
    "CHECKPOINT",
]
FORBIDDEN_TO_USERS_OF_TIMESCALEDB = [
    "SELECT drop_chunks('ts_measure', now())",
    "SELECT add_retention_policy('ts_measure', INTERVAL '1 day')",
    "SELECT set_chunk_time_interval('ts_measure', INTERVAL '1 hour')",
    "ALTER TABLE ts_measure SET (timescaledb.compress)",
]


@pytest.fixture
async def stack(stack: Stack, tmp_path: Path) -> AsyncIterator[Stack]:
    async with as_writer_role(stack, tmp_path) as as_role:
        yield as_role


@pytest.fixture
async def session(stack: AsWriterRole) -> AsyncIterator[Any]:
    """A connection as the role, to a database that has a row in each table and a schema of somebody else."""
    await stack.execute("CREATE SCHEMA apart CREATE TABLE secrets (secret text)")
    await stack.execute("CREATE TABLE staging_of_another ()")
    await stack.append(*telem())
    await (await stack.start("writer").ready()).says("storing from")
    await stack.has_rows("ts_measure", 1)
    connection = await asyncpg.connect(stack.role_url)
    yield connection
    await connection.close()


async def test_nothing_else_is_allowed(stack: AsWriterRole, session: Any, postgres: Server) -> None:
    has_timescaledb = getattr(postgres, "has_timescaledb", False)
    for statement in FORBIDDEN + (FORBIDDEN_TO_USERS_OF_TIMESCALEDB if has_timescaledb else []):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            print(statement, await session.fetch(statement))
    await session.execute("GRANT SELECT ON cmd_ack TO PUBLIC")  # only warns
    assert not await stack.fetchval("SELECT has_table_privilege('traksense_reader', 'cmd_ack', 'SELECT')")
    assert await stack.count("ts_measure") == 1


@pytest.mark.timescaledb
async def test_a_chunk_is_no_way_round(stack: AsWriterRole, session: Any, postgres: Server) -> None:
    if not getattr(postgres, "has_timescaledb", False):
        pytest.skip("this PostgreSQL has no timescaledb")
    (chunk,) = [row["chunk"] for row in await stack.fetch("SELECT show_chunks('ts_measure')::text AS chunk")]
    for statement in ("SELECT * FROM {}", "DELETE FROM {}", "UPDATE {} SET v_num = 0", "TRUNCATE {}", "DROP TABLE {}"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await session.execute(statement.format(chunk))


@pytest.mark.parametrize(
    ("privilege", "named"),
    [
        ("INSERT ON ts_measure", "INSERT on ts_measure"),
        ("SELECT ON cmd_ack", "SELECT on cmd_ack"),
        ("INSERT ON cmd_ack", "INSERT on cmd_ack"),
        ("UPDATE ON cmd_ack", "UPDATE on cmd_ack"),
        ("SELECT ON command", "SELECT on command"),
        ("INSERT ON command", "INSERT on command"),
        ("UPDATE ON command", "UPDATE on command"),
        ("INSERT ON device_event", "INSERT on device_event"),
        ("SELECT ON device", "SELECT on device"),
        ("INSERT ON device", "INSERT on device"),
        ("UPDATE ON device", "UPDATE on device"),
        ("SELECT ON device_point", "SELECT on device_point"),
        ("INSERT ON device_point", "INSERT on device_point"),
        ("UPDATE ON device_point", "UPDATE on device_point"),
        ("SELECT ON ingest_errors", "SELECT on ingest_errors"),
        ("INSERT ON ingest_errors", "INSERT on ingest_errors"),
        ("SELECT ON stream_ledger", "SELECT on stream_ledger"),
        ("INSERT ON stream_ledger", "INSERT on stream_ledger"),
        ("UPDATE ON stream_ledger", "UPDATE on stream_ledger"),
        ("EXECUTE ON FUNCTION unstored_points", "EXECUTE on the function unstored_points"),
        ("EXECUTE ON FUNCTION has_state", "EXECUTE on the function has_state"),
        ("EXECUTE ON FUNCTION missing_events", "EXECUTE on the function missing_events"),
    ],
)
async def test_each_privilege_that_is_missing_is_named(empty_database: str, privilege: str, named: str) -> None:
    """In a database of its own without a stack: what is revoked is this database's alone."""
    await migrate(empty_database)
    owner = await asyncpg.connect(empty_database)
    name = empty_database.rpartition("/")[2]
    await owner.execute(f"CREATE ROLE lacking_{name} LOGIN PASSWORD '{SECRET}' BYPASSRLS IN ROLE traksense_writer")
    url = empty_database.replace("//postgres:postgres@", f"//lacking_{name}:{SECRET}@")
    await check(url)
    await owner.execute(f"REVOKE {privilege} FROM traksense_writer")
    with pytest.raises(NotMigrated) as raised:
        await check(url)
    assert f"the role lacking_{name} lacks {named};" in str(raised.value)
    assert SECRET not in str(raised.value)
    await owner.execute(f"DROP ROLE lacking_{name}")
    await owner.close()


async def test_what_is_missing_is_one_line(stack: AsWriterRole) -> None:
    name = stack.database_url.rpartition("/")[2]
    await stack.execute("REVOKE SELECT, INSERT ON ingest_errors FROM traksense_writer")
    await stack.execute(f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC, traksense_writer")
    writer = stack.start("writer")
    assert await asyncio.to_thread(writer.wait) == 2
    lacking = f"lacks SELECT on ingest_errors, INSERT on ingest_errors, TEMPORARY on the database {name}; "
    assert lacking in writer.log.splitlines()[-1]
    await stack.execute("REVOKE SELECT ON schema_migrations FROM traksense_writer")
    writer = stack.start("writer")
    assert await asyncio.to_thread(writer.wait) == 2
    assert writer.log.splitlines()[-1] == (
        "DATABASE_URL: database: permission denied for table schema_migrations (SQLSTATE 42501)"
    )
    assert "Traceback" not in writer.log


async def test_the_grants_may_be_run_again(stack: AsWriterRole) -> None:
    for objects in ("TABLES", "FUNCTIONS"):
        await stack.execute(f"REVOKE ALL ON ALL {objects} IN SCHEMA public FROM traksense_writer")
    with pytest.raises((NotMigrated, asyncpg.InsufficientPrivilegeError)):
        await check(stack.role_url)
    owner = await asyncpg.connect(stack.database_url)
    await owner.execute(AGAIN)
    await owner.execute(AGAIN)
    await owner.close()
    await check(stack.role_url)


async def test_nobody_may_create_tables_in_public(empty_database: str) -> None:
    """As it is up to PostgreSQL 14, and in databases that were upgraded from it."""
    owner = await asyncpg.connect(empty_database)
    await owner.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    await migrate(empty_database)
    assert not await owner.fetchval("SELECT has_schema_privilege('traksense_writer', 'public', 'CREATE')")
    assert not await owner.fetchval("SELECT has_schema_privilege('traksense_reader', 'public', 'CREATE')")
    await owner.close()


async def test_who_may_not_make_roles_is_warned_and_migrates_all_the_same(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The role is there since another database was migrated: it is set aside while this one is."""
    admin = await asyncpg.connect(database)
    poor = f"poor_{database.rpartition('/')[2]}"
    await admin.execute("ALTER ROLE traksense_writer RENAME TO set_aside")
    await admin.execute(f"CREATE ROLE {poor} LOGIN PASSWORD 'poor'")
    await admin.execute(f"CREATE DATABASE {poor} OWNER {poor}")
    try:
        url = database.replace("//postgres:postgres@", f"//{poor}:poor@").rpartition("/")[0] + f"/{poor}"
        assert len(await migrate(url)) == len(migrations())
        assert "may not create the role traksense_writer: let a superuser do it" in caplog.text
        await admin.execute("CREATE ROLE traksense_writer NOLOGIN BYPASSRLS")
        owner = await asyncpg.connect(url)
        await owner.execute(AGAIN)
        assert await owner.fetchval("SELECT has_table_privilege('traksense_writer', 'ts_measure', 'INSERT')")
        await owner.close()
    finally:
        await admin.execute(f"DROP DATABASE {poor} WITH (FORCE)")
        await admin.execute(f"DROP ROLE {poor}")
        await admin.execute("DROP ROLE IF EXISTS traksense_writer")
        await admin.execute("ALTER ROLE set_aside RENAME TO traksense_writer")
        await admin.close()
