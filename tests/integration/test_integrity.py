"""A database that takes rows and shows them to nobody, or takes none: nothing is stored or acknowledged meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.process import Process
from tests.support.services import DEBIAN, Services, missing
from tests.support.shaped import connected
from tests.support.stack import Stack, telem
from tests.support.unsound import (
    NO_HYPERTABLE,
    NOT_LOADED,
    RESTORING,
    in_root,
    own_server,
    restart,
    restoring_session,
    run,
)
from traksense_ingest.ops.embedded import PostgresServer
from traksense_ingest.ops.schema.migrate import migrate
from traksense_ingest.shared import database, integrity
from traksense_ingest.shared.failure import Unusable

PRE_RESTORE, POST_RESTORE = "SELECT timescaledb_pre_restore()", "SELECT timescaledb_post_restore()"
BEFORE, MEANWHILE = [telem("dev", second) for second in range(20)], [telem("dev", 100 + second) for second in range(20)]


@pytest.fixture
def own_timescale(tmp_path: Path) -> Iterator[PostgresServer]:
    """A server with TimescaleDB that the test may restart."""
    if missing(DEBIAN):
        pytest.skip("Debian's servers are not installed here")
    with own_server(DEBIAN.postgres_type, tmp_path / "own") as server:
        if not getattr(server, "has_timescaledb", False):
            pytest.skip("this PostgreSQL has no timescaledb")
        yield server


async def append(stack: Stack, messages: list[tuple[str, bytes]]) -> None:
    for topic, payload in messages:
        await stack.append(topic, payload)


async def holds_back(stack: Stack, writer: Process, said: str) -> None:
    """Nothing is stored, nothing acknowledged, not ready, and why is said once."""
    await writer.says(said)
    assert writer.get("/readyz")[0] == 503
    assert writer.metric("ingest_connected", component="database") == 0
    assert await stack.backlog() == len(MEANWHILE)
    assert writer.log.count(said) == 1


async def all_is_there(stack: Stack, *messages: list[tuple[str, bytes]]) -> None:
    """Where everybody sees it, and nowhere else."""
    await stack.has_rows("ts_measure", sum(map(len, messages)))
    assert await in_root(stack.database_url) == 0
    assert await stack.count("ingest_errors") == 0
    await stack.is_well()


async def each_command_says(stack: Stack, line: str) -> None:
    """And ends with exit code 1, at once."""
    status, migrated, checked = await asyncio.gather(
        stack.status("--skip", "broker"),
        run("migrate", DATABASE_URL=stack.database_url),
        run("validate", "--timeout", "1", **stack.environment),
    )
    assert (status.returncode, line in status.stdout) == (1, True), status.stdout
    assert (migrated.returncode, migrated.stdout, line in migrated.stderr) == (1, "", True), migrated.stderr
    assert (checked.returncode, f"CHECK 6: Database               [FAIL] {line}" in checked.stdout) == (1, True)
    assert "2: Persistence            [FAIL] not tried: the database can't be used, see check 6" in checked.stdout


@pytest.mark.timescaledb
async def test_a_writer_waits_for_the_end_of_a_restore(stack: Stack, timescale: str) -> None:
    writer = await stack.writer()
    await append(stack, BEFORE)
    await stack.has_rows("ts_measure", len(BEFORE))
    await stack.execute(PRE_RESTORE)
    await stack.end_sessions()
    await append(stack, MEANWHILE)
    await holds_back(stack, writer, RESTORING)
    assert await in_root(timescale) == 0
    await stack.execute(POST_RESTORE)
    await all_is_there(stack, BEFORE, MEANWHILE)
    await writer.ready()


@pytest.mark.timescaledb
async def test_a_writer_that_starts_waits_for_the_end_of_a_restore(stack: Stack, timescale: str) -> None:
    await stack.execute(PRE_RESTORE)
    await append(stack, MEANWHILE)
    writer = stack.start("writer")
    await holds_back(stack, writer, RESTORING)
    await stack.execute(POST_RESTORE)
    await all_is_there(stack, MEANWHILE)
    assert "storing from" in writer.log


@pytest.mark.timescaledb
async def test_a_writer_that_starts_waits_for_a_restore_that_has_made_no_table_yet(
    stack: Stack, timescale: str
) -> None:
    await stack.execute(PRE_RESTORE)
    await stack.execute("DROP TABLE schema_migrations")
    writer = stack.start("writer")
    await writer.says(RESTORING)
    status = await stack.status("--skip", "broker", "--json")
    assert json.loads(status.stdout)["dependencies"]["database"]["state"] == "wrong"
    await stack.execute(POST_RESTORE)
    assert writer.wait() == 2, "then it is a database that is not migrated"


@pytest.mark.timescaledb
async def test_a_session_that_began_during_a_restore_is_not_used_after_it(stack: Stack, timescale: str) -> None:
    """Also not where a pooler keeps the server's session: so it ends that one."""
    async with restoring_session(timescale) as session:
        pid = await session.fetchval("SELECT pg_backend_pid()")
        with pytest.raises(Unusable, match="restoring is on"):
            await integrity.require(session)
        assert await stack.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", pid) == 0


@pytest.mark.long
@pytest.mark.timescaledb
async def test_timescaledb_is_not_loaded(own_timescale: PostgresServer, stack: Stack) -> None:
    """Each of them says so, and waits or ends: writers that run and that start, migrate, status and validate."""
    stack.database_url = own_timescale.url
    await migrate(own_timescale.url)
    # A setting that stays as a placeholder, and looks like the library's.
    await stack.execute("ALTER DATABASE traksense SET timescaledb.restoring = off")
    running = await stack.writer()
    await append(stack, BEFORE)
    await stack.has_rows("ts_measure", len(BEFORE))
    restart(own_timescale, shared_preload_libraries="")
    await append(stack, MEANWHILE)
    await running.says(NOT_LOADED)
    starting = stack.start("writer")
    await holds_back(stack, starting, NOT_LOADED)

    line = NOT_LOADED.rpartition(": ")[2]
    await each_command_says(stack, line)

    restart(own_timescale, shared_preload_libraries="timescaledb")
    await all_is_there(stack, BEFORE, MEANWHILE)


@pytest.mark.timescaledb
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ("DROP EXTENSION timescaledb CASCADE", "any more"),
        ("ALTER TABLE ts_measure RENAME TO hypertable; CREATE TABLE ts_measure (LIKE hypertable)", "any more"),
        ("CREATE SCHEMA other; ALTER TABLE ts_measure SET SCHEMA other; CREATE TABLE ts_measure ()", "any more"),
        ("ALTER DATABASE {name} SET timescaledb.disable_load = on", "timescaledb.disable_load is on"),
        ("ALTER DATABASE {name} SET timescaledb.restoring = on", "timescaledb.restoring is on"),
        ("CREATE SCHEMA other; CREATE TABLE other.device (); {other_first}", "is hidden by another one"),
        ("DROP FUNCTION ts_measure_is_as_made", "the schema is not there, or only a part of it"),
    ],
)
async def test_the_table_is_not_the_table(timescale: str, changes: str, said: str) -> None:
    """No transaction begins in a session that was open, nor in a new one, and no writer starts."""
    name = timescale.rpartition("/")[2]
    changes = changes.format(name=name, other_first=f"ALTER DATABASE {name} SET search_path = other, public")
    pool = await database.open_pool(timescale, 1, 1)
    try:
        async with database.transaction(pool) as connection:
            await connection.execute("INSERT INTO device_event VALUES ('t', 'd', 'e', 'boot', now())")
        async with connected(timescale) as owner:
            for statement in changes.split("; "):
                await owner.execute(statement)
        if "DATABASE" in changes:
            await pool.expire_connections()  # such a setting is read when a session begins
        for _ in range(2):
            with pytest.raises(Unusable, match=said):
                await database.Queries(pool).fetch("SELECT 1")
        with pytest.raises(Unusable, match=said):
            await database.check(timescale)
    finally:
        pool.terminate()


@pytest.mark.timescaledb
async def test_where_its_extension_is_gone_each_of_them_says_so(stack: Stack, timescale: str) -> None:
    writer = await stack.writer()
    await stack.execute("DROP EXTENSION timescaledb CASCADE")
    await append(stack, MEANWHILE)
    await holds_back(stack, writer, NO_HYPERTABLE)
    line = NO_HYPERTABLE.rpartition(": ")[2]
    await each_command_says(stack, line)
    assert await stack.count("ts_measure") == 0


@pytest.mark.timescaledb
async def test_where_it_is_to_be_a_plain_table_one_statement_says_so(stack: Stack, timescale: str) -> None:
    await stack.execute("DROP EXTENSION timescaledb CASCADE")
    writer = stack.start("writer")
    await append(stack, MEANWHILE)
    await holds_back(stack, writer, NO_HYPERTABLE)
    await stack.execute("UPDATE schema_migrations SET made_hypertable = false")
    await stack.has_rows("ts_measure", len(MEANWHILE))
    assert (await run("migrate", DATABASE_URL=timescale)).returncode == 0


async def test_a_standby_takes_nothing_until_it_is_promoted(services: Services, stack: Stack, tmp_path: Path) -> None:
    with own_server(services.postgres_type, tmp_path / "own") as server:
        await migrate(server.url)
        server.stop()
        (server.data / "standby.signal").touch()
        server.start()
        stack.database_url = server.url
        await append(stack, MEANWHILE)
        said = "the server is a standby, in recovery: nothing can be stored"
        writer = stack.start("writer")
        await holds_back(stack, writer, said)
        await each_command_says(stack, said)
        await stack.execute("SELECT pg_promote()")
        await stack.has_rows("ts_measure", len(MEANWHILE))


async def test_a_database_that_is_read_only_for_a_while(stack: Stack) -> None:
    writer = await stack.writer()
    await stack.administer("ALTER DATABASE {name} SET default_transaction_read_only = on")
    await stack.end_sessions()
    await append(stack, MEANWHILE)
    await writer.says("transactions are read-only: nothing can be stored")
    status = await stack.status("--skip", "broker")
    assert (status.returncode, "transactions are read-only" in status.stdout) == (1, True), status.stdout
    await stack.administer("ALTER DATABASE {name} RESET default_transaction_read_only")
    await stack.has_rows("ts_measure", len(MEANWHILE))


async def test_without_timescaledb_there_is_nothing_to_find(stack: Stack) -> None:
    async with connected(stack.database_url) as connection:
        if await connection.fetchval("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')"):
            pytest.skip("this PostgreSQL has timescaledb")
        assert not await connection.fetchval("SELECT bool_or(made_hypertable) FROM schema_migrations")
        assert await connection.fetchval("SELECT hidden_rows(10)") == 0
    await stack.writer()
    await append(stack, MEANWHILE)
    await all_is_there_in_a_plain_table(stack)


async def all_is_there_in_a_plain_table(stack: Stack) -> None:
    await stack.has_rows("ts_measure", len(MEANWHILE))
    await stack.is_well()
