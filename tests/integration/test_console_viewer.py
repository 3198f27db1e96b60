"""A console that may change nothing: with the Redis user `status` and the role traksense_viewer."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.support.console import Browser, add_user, running
from tests.support.pages import opened_pages, path_of
from tests.support.redis_users import as_user, refusals
from tests.support.stack import Stack, telem
from tests.support.writer_role import login_role
from traksense_ingest.ops.console.app import PAGES
from traksense_ingest.ops.console.guard.roles import Role
from traksense_ingest.ops.embedded import Server
from traksense_ingest.ops.validate.sql import TABLES
from traksense_ingest.shared.database import migrations

pytestmark = pytest.mark.long  # of `make test-all`

AGAIN = "".join(migration.sql for migration in migrations() if migration.version == 19)
READABLE = (
    "schema_migrations",
    "stream_ledger",
    "device_status",
    "console_action",
    *(table for table in TABLES if table != "sparkplug_birth"),
)
FORBIDDEN = [
    *(f"DELETE FROM {table}" for table in READABLE if table != "device_status"),  # a view
    *(f"TRUNCATE {table}" for table in READABLE if table != "device_status"),
    "UPDATE ingest_errors SET replayed_at = now()",
    "SELECT id FROM ingest_errors FOR UPDATE",
    "INSERT INTO ts_measure (tenant_id) VALUES ('t')",
    "SELECT public.has_state('t', 'dev', '{}')",
    "CREATE TABLE public.mine ()",
    "CREATE TABLE tenant.mine ()",
    "SET ROLE postgres",
    "SET ROLE traksense_writer",
    "SELECT * FROM pg_authid",
    "SELECT pg_read_file('/etc/passwd')",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres' AND pid <> pg_backend_pid()",
]


@pytest.fixture
async def role_url(stack: Stack) -> AsyncIterator[str]:
    """The database, as a login role that is a member of traksense_viewer."""
    async with login_role(stack, "IN ROLE traksense_viewer") as url:
        yield url


@pytest.fixture
async def session(stack: Stack, role_url: str) -> AsyncIterator[Any]:
    """A connection as this role, to a database with rows of two tenants."""
    await stack.append(*telem(tenant="acme"))
    await stack.append(*telem(tenant="umbrella"))
    await stack.append("traksense/acme/site/dev/telem", b"no json")
    await stack.writer()
    await stack.has_rows("ingest_errors", 1)
    connection = await asyncpg.connect(role_url)
    yield connection
    await connection.close()


async def test_it_reads_all_tenants_and_changes_nothing(stack: Stack, session: Any) -> None:
    for table in READABLE:
        assert await session.fetchval(f"SELECT count(*) FROM {table}") == await stack.count(table), table
    assert await session.fetchval("SELECT count(*) FROM device") == 2
    await session.execute("SET app.tenant_id = 'acme'")
    assert [row["device_id"] for row in await session.fetch("SELECT device_id FROM tenant.latest")] == ["dev"]
    for statement in FORBIDDEN:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await session.fetch(statement)


async def test_it_may_be_granted_again(stack: Stack, session: Any) -> None:
    owner = await asyncpg.connect(stack.database_url)
    await owner.execute("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM traksense_viewer")
    await owner.execute("DROP POLICY all_tenants_for_viewers ON device")
    await owner.execute(AGAIN)
    await owner.execute(AGAIN)
    await owner.close()
    assert await session.fetchval("SELECT count(*) FROM device") == 2


@pytest.mark.timescaledb
async def test_compression_and_aggregates_go_with_it(stack: Stack, session: Any, postgres: Server) -> None:
    """Neither has row level security, and it is meant to read all tenants."""
    if not getattr(postgres, "has_timescaledb", False):
        pytest.skip("this PostgreSQL has no timescaledb")
    applied = await stack.command("migrate", INGEST_COMPRESS_AFTER_DAYS=7, INGEST_AGGREGATES="1m")
    assert applied.returncode == 0, applied.stderr
    assert "every tenant" not in applied.stderr
    await session.execute("SET app.tenant_id = 'acme'")
    await session.fetch("SELECT * FROM tenant.ts_measure_1m")
    assert await session.fetchval("SELECT count(*) FROM ts_measure") == 2


async def test_commands_that_read_work(stack: Stack, session: Any, role_url: str) -> None:
    listed = await stack.command("dlq", "list", DATABASE_URL=role_url)
    assert (listed.returncode, "parse_error" in listed.stdout) == (0, True), listed.stderr
    replayed = await stack.command("dlq", "replay", "1", DATABASE_URL=role_url)
    assert replayed.returncode != 0
    assert "connect as the tables' owner" in replayed.stderr


async def test_another_role_still_sees_that_it_sees_nothing(stack: Stack) -> None:
    async with login_role(stack, "IN ROLE traksense_reader") as url:
        await stack.execute(f"GRANT SELECT ON ingest_errors TO {url.split('//')[1].split(':')[0]}")
        listed = await stack.command("dlq", "list", DATABASE_URL=url)
    assert listed.returncode == 2
    assert "is under row level security and sees no dead letters" in listed.stderr


async def test_every_page_is_there_for_a_viewer(guarded: Stack, session: Any, role_url: str, tmp_path: Path) -> None:
    users = tmp_path / "users.txt"
    add_user(users, "ana")
    environment = {**guarded.environment, "REDIS_URL": as_user(guarded, "status"), "DATABASE_URL": role_url}
    async with running(environment, tmp_path, "--users", str(users)) as console:
        browser = console.browser()
        assert browser.log_in("ana").status == 303
        for path in (*opened_pages(), "/dead/1", "/dead/export", "/devices/one?tenant=acme&device=dev"):
            answer = browser.get(path)
            assert answer.status == 200, (path, answer.body)
        await console.says("console: ana: export of 1 dead letters")
        last = [await guarded.append(*telem(tenant="later")) for _ in range(2)][-1]
        stream = browser.get("/streams/0", before=last.decode())
        assert re.search(r"Pending (no|consumer)", stream.text), stream.text
        assert "is not permitted" not in stream.text
        assert_nothing_is_changed_by(browser)
        assert "Traceback" not in console.log
    assert not await refusals(guarded.redis)


def assert_nothing_is_changed_by(browser: Browser) -> None:
    """Each page that changes something refuses a viewer."""
    for page in PAGES:
        if page.is_post and page.role > Role.VIEWER:
            assert browser.post(path_of(page.path)).status == 403, page
