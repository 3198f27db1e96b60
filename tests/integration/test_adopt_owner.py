"""A database of the first version whose owner is an ordinary role, from which row level security may hide rows."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.support.budget import few_of
from tests.support.first_version import TENANTS, Kind
from tests.support.old_database import OldDatabase, create_old_database, expected, schema_of, stored
from traksense_ingest.ops.adopt import command
from traksense_ingest.ops.adopt.command import Adoption
from traksense_ingest.ops.embedded import Server

pytestmark = pytest.mark.long  # of `make test-all`

FORCE = "ALTER TABLE {} FORCE ROW LEVEL SECURITY"


@pytest.fixture(params=few_of(["uuid", "text"], 1))
async def old(
    request: pytest.FixtureRequest, empty_database: str, owner_of_empty: Any, postgres: Server
) -> OldDatabase:
    """The commands run as its owner, who is no superuser; the tests' queries as one who is."""
    kind = Kind(request.param, bool(getattr(postgres, "has_timescaledb", False)))
    database = urlsplit(empty_database).path[1:]
    plain = f"owner_of_{database}"
    for name in ("app_user", "app_readonly", "app_migrations"):
        if not await owner_of_empty.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", name):
            await owner_of_empty.execute(f"CREATE ROLE {name}")
    await owner_of_empty.execute(f"CREATE ROLE {plain} LOGIN PASSWORD 'plain'")
    await owner_of_empty.execute(f"ALTER DATABASE {database} OWNER TO {plain}")
    if kind.has_timescaledb:
        await owner_of_empty.execute("CREATE EXTENSION timescaledb")
    parts = urlsplit(empty_database)
    url = parts._replace(netloc=f"{plain}:plain@{parts.hostname}:{parts.port}").geturl()
    owner = await asyncpg.connect(url, statement_cache_size=0)
    await create_old_database(url, owner, kind)
    await owner.close()
    await owner_of_empty.execute(FORCE.format("public.ts_measure"))
    return OldDatabase(url, owner_of_empty, kind)


async def refused(old: OldDatabase, *options: str) -> list[str]:
    """The statements that the last line says to run, once nothing was changed."""
    before = await schema_of(old)
    done = await old.migrate("--adopt", *options)
    assert done.returncode == 2, done.stderr
    line = done.stderr.splitlines()[-1]
    assert "FORCE ROW LEVEL SECURITY hides rows from this role: give it BYPASSRLS, or run: " in line
    assert await schema_of(old) == before
    return line.partition("or run: ")[2].split("; ")


async def test_rows_that_the_owner_does_not_see_are_not_left_behind(old: OldDatabase) -> None:
    wanted = await expected(old, "public")
    assert "migrate --adopt --dry-run" in (await old.migrate()).stderr.splitlines()[-1]
    statements = await refused(old, "--dry-run")
    assert statements == await refused(old) == ["ALTER TABLE public.ts_measure NO FORCE ROW LEVEL SECURITY"]
    for statement in statements:
        await old.owner.execute(statement)
    dry_run = [line.split() for line in (await old.adopt("--dry-run")).splitlines()]
    assert ["acme", "3013", "13", "3"] in dry_run
    report = [line.split() for line in (await old.adopt("--compat-views")).splitlines()]
    assert ["acme", "3013", "3000", "10", "3"] in report
    assert await stored(old) == wanted


async def test_a_role_that_row_security_does_not_concern(old: OldDatabase) -> None:
    """With BYPASSRLS nothing of the tables has to be changed, and the way back leaves them as they were."""
    name = urlsplit(old.url).username
    await old.owner.execute(f"ALTER ROLE {name} BYPASSRLS")
    wanted = await expected(old, "public")
    await old.adopt("--dry-run")
    await old.adopt("--compat-views")
    assert await stored(old) == wanted
    for relation in ("ts_measure", "public.ts_measure_tenant"):
        rows = await old.query(f"SELECT FROM {relation}", role="app_readonly", tenant=str(TENANTS[0]))
        assert len(rows) == 3_000
    done = await old.migrate("--undo-adopt")
    assert done.returncode == 0, done.stderr
    forced = await old.query("SELECT relforcerowsecurity FROM pg_class WHERE oid = 'public.ts_measure'::regclass")
    assert forced == [(True,)]
    await old.adopt()
    done = await old.migrate("--drop-v1", "--yes")
    assert done.returncode == 0, done.stderr
    assert await stored(old) == wanted


@pytest.mark.parametrize("old", ["text"], indirect=True)
async def test_tables_that_were_moved_already(old: OldDatabase) -> None:
    await old.owner.execute("ALTER TABLE ts_measure NO FORCE ROW LEVEL SECURITY")
    await command.begin(old.url, Adoption())
    for name in ("ts_measure", "cmd_ack"):
        await old.owner.execute(f"ALTER TABLE v1.{name} ENABLE ROW LEVEL SECURITY")
        await old.owner.execute(FORCE.format(f"v1.{name}"))
    for statement in await refused(old):
        await old.owner.execute(statement)
    wanted = await expected(old, "v1")
    await old.adopt()
    assert await stored(old) == wanted


@pytest.mark.parametrize("old", ["text"], indirect=True)
async def test_names_that_the_owner_does_not_see(old: OldDatabase) -> None:
    """Rows would be stored under ids that have names, and the names are fixed then."""
    await old.owner.execute("ALTER TABLE ts_measure NO FORCE ROW LEVEL SECURITY")
    await old.owner.execute("ALTER TABLE tenancy_client ENABLE ROW LEVEL SECURITY")
    await old.owner.execute(FORCE.format("tenancy_client"))
    before = await schema_of(old)
    for options in (("--adopt", "--dry-run"), ("--adopt",)):
        done = await old.migrate(*options)
        assert done.returncode == 1
        assert 'row-level security policy for table "tenancy_client"' in done.stderr.splitlines()[-1]
    assert await schema_of(old) == before
