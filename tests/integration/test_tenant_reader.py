"""deploy/postgres: a role that reads one tenant, whatever SQL it runs; and the roles of the compose file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest

from tests.support.shaped import connected
from tests.support.tenant_reader import (
    RIVAL,
    TENANT,
    connect_as,
    connected_reader,
    create_reader,
    has_psql,
    role_in,
    run_script,
    two_tenants,
    without_role_afterwards,
)
from traksense_ingest.ops.schema import Refused
from traksense_ingest.ops.schema.apply import DesiredPolicies, shape

pytestmark = pytest.mark.skipif(not has_psql(), reason="psql 15 is not installed")

VIEWS = "SELECT viewname FROM pg_views WHERE schemaname = $1"
DENIED = (
    "SELECT * FROM tenant.device",
    "SELECT * FROM public.device",
    "SELECT * FROM public.device_status",
    "SELECT * FROM tenant.latest_of('rival1')",
    "SET ROLE traksense_reader",
    "CREATE TABLE mine ()",
    "DELETE FROM device",
)


@pytest.fixture
async def url(database: str) -> AsyncIterator[str]:
    async with two_tenants(database):
        yield database


@pytest.fixture
async def reader(url: str) -> AsyncIterator[Any]:
    async with connected_reader(url) as connection:
        yield connection


async def tenants_in(connection: Any) -> dict[str, set[str]]:
    """Whose rows each of its views shows."""
    views = [
        row["viewname"] for row in await connection.fetch(VIEWS, await connection.fetchval("SELECT current_schema"))
    ]
    return {view: {row["tenant_id"] for row in await connection.fetch(f"SELECT * FROM {view}")} for view in views}


async def test_it_reads_every_view_of_its_tenant(url: str, reader: Any) -> None:
    async with connected(url) as owner:
        views = {row["viewname"] for row in await owner.fetch(VIEWS, "tenant")}
    found = await tenants_in(reader)
    assert found.keys() == views
    assert found == {view: {TENANT} for view in views} | {"ingest_errors": set()}
    assert await reader.fetchval("SHOW statement_timeout") == "30s"


async def test_another_tenant_in_the_session_shows_nothing(reader: Any) -> None:
    for other in (RIVAL, "", "%", "rival' OR 'a' = 'a"):
        await reader.execute("SELECT set_config('app.tenant_id', $1, false)", other)
        assert set().union(*(await tenants_in(reader)).values()) == set()
    await reader.execute("RESET app.tenant_id")
    assert (await tenants_in(reader))["device"] == {TENANT}


async def test_it_may_nothing_else(reader: Any) -> None:
    for statement in DENIED:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.execute(statement)


async def test_it_can_be_run_again_for_another_tenant(url: str, reader: Any) -> None:
    assert create_reader(url, role_in(url), RIVAL).returncode == 0
    assert (await tenants_in(reader))["device"] == set(), "a session keeps the tenant with which it began"
    again = await connect_as(url, role_in(url))
    assert (await tenants_in(again))["device"] == {RIVAL}
    await again.close()


@pytest.mark.parametrize("options", ["SUPERUSER", "BYPASSRLS", "IN ROLE traksense_reader"])
async def test_a_role_that_may_read_more_is_refused(url: str, options: str) -> None:
    async with connected(url) as owner:
        await owner.execute(f'CREATE ROLE "{role_in(url)}" {options}')
        made = create_reader(url, role_in(url))
        assert made.returncode == 3
        assert "choose a new name" in made.stderr
        assert await owner.fetch(VIEWS, role_in(url)) == []
        assert not await owner.fetchval("SELECT rolcanlogin FROM pg_roles WHERE rolname = $1", role_in(url))


@pytest.mark.parametrize("name", ["tenant", "public"])
async def test_a_schema_of_others_is_refused(url: str, name: str) -> None:
    async with connected(url) as owner:
        before = await owner.fetch("SELECT * FROM pg_views WHERE schemaname = $1", name)
        made = create_reader(url, name)
        assert made.returncode == 3
        assert "choose a new name" in made.stderr
        assert await owner.fetch("SELECT * FROM pg_views WHERE schemaname = $1", name) == before
        assert not await owner.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", name)


async def test_what_is_missing_is_named(url: str) -> None:
    for options in ((), ("-v", f"role={role_in(url)}")):
        made = run_script(url, "reader.sql", *options)
        assert made.returncode == 3
        assert "READER_PASSWORD, -v role=… and -v tenant=… are needed" in made.stderr


async def test_aggregates_are_dropped_after_its_views(timescale: str, url: str) -> None:
    await shape(timescale, DesiredPolicies(aggregates=("1m",)))
    assert create_reader(url, role_in(url)).returncode == 0
    with pytest.raises(Refused, match=rf'view "{role_in(url)}".ts_measure_1m depends on .*; drop that first'):
        await shape(timescale, DesiredPolicies(), drop_others=True)
    async with connected(url) as owner:
        await owner.execute(f'DROP VIEW "{role_in(url)}".ts_measure_1m')
    assert len(await shape(timescale, DesiredPolicies(), drop_others=True)) == 1


async def test_compression_does_not_take_it_for_a_reader_of_all_tenants(timescale: str, reader: Any) -> None:
    await shape(timescale, DesiredPolicies(compress_after=7))
    assert (await tenants_in(reader))["ts_measure"] == {TENANT}


async def test_compose_lets_a_viewer_log_in(url: str) -> None:
    """Only with a password; and it can't any more when that is unset."""
    login = "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'traksense_viewer'"
    async with connected(url) as owner:
        for password, expected in (("", False), ("v'iewer", True), (None, False)):
            given = {} if password is None else {"VIEWER_PASSWORD": password}
            done = run_script(url, "roles.sql", WRITER_PASSWORD="w", READER_PASSWORD="", GRAFANA_TENANT="", **given)
            assert (done.returncode, done.stderr) == (0, "")
            assert await owner.fetchval(login) is expected
            if password:
                as_viewer = url.replace("//postgres:postgres@", f"//traksense_viewer:{quote(password)}@")
                async with connected(as_viewer) as viewer:
                    assert await viewer.fetchval("SELECT count(*) FROM ingest_errors") == 0


async def test_compose_makes_the_role_of_its_tenant(url: str) -> None:
    """Only with both variables; and it can't log in any more when one is unset."""
    login = "SELECT rolcanlogin, rolpassword IS NOT NULL FROM pg_authid WHERE rolname = 'grafana'"
    async with connected(url) as owner, without_role_afterwards(url, "grafana"):
        for tenant, password, expected in (
            ("", "", None),
            (TENANT, "", None),
            (TENANT, "x", (True, True)),
            ("", "x", (False, True)),
            (TENANT, "y", (True, True)),
        ):
            environment = {"WRITER_PASSWORD": "w", "READER_PASSWORD": password, "GRAFANA_TENANT": tenant}
            done = run_script(url, "roles.sql", **environment)
            assert (done.returncode, done.stderr) == (0, "")
            assert await owner.fetchrow(login) == expected
