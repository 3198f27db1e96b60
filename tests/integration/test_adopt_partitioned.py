"""A database of the first version whose ts_measure PostgreSQL itself partitions by time: its partitions go with it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.budget import few_of
from tests.support.first_version import TENANTS, Kind
from tests.support.old_database import OldDatabase, create_old_database, expected, schema_of, stored
from traksense_ingest.ops.adopt.database import chunks

pytestmark = pytest.mark.long  # of `make test-all`


@pytest.fixture(params=few_of(["uuid", "text"], 1))
async def old(request: pytest.FixtureRequest, empty_database: str, owner_of_empty: Any) -> OldDatabase:
    """Without TimescaleDB, which `migrate` may add."""
    return await create_old_database(empty_database, owner_of_empty, Kind(request.param, False, is_partitioned=True))


async def partitions(old: OldDatabase) -> dict[str, int]:
    """How many there are, by schema."""
    rows = await old.query(
        "SELECT relnamespace::regnamespace::text, count(*) FROM pg_class "
        "WHERE relispartition AND relkind = 'r' AND relname ~ '^ts_measure_' GROUP BY 1"
    )
    return dict(rows)


async def test_plain_migrate_and_a_dry_run_change_nothing(old: OldDatabase) -> None:
    before = await schema_of(old)
    assert "migrate --adopt --dry-run" in (await old.migrate()).stderr.splitlines()[-1]
    printed = await old.adopt("--dry-run")
    assert ["acme", "3013", "13", "3"] in [line.split() for line in printed.splitlines()]
    assert "copying takes about" in printed, "partitions of the days to come have no rows to measure"
    assert await schema_of(old) == before


async def test_the_newest_partition_comes_first(old: OldDatabase) -> None:
    names = [chunk.name.removeprefix("public.ts_measure_") for chunk in await chunks(old.owner, "public")]
    assert names == [*(f"part_{number}" for number in range(1, 9)), "rest"]


async def test_every_row_is_there_once_and_programs_read_them(old: OldDatabase) -> None:
    wanted = await expected(old, "public")
    printed = await old.adopt("--compat-views")
    assert await stored(old) == wanted
    lines = [line.split() for line in printed.splitlines()]
    assert ["acme", "3013", "3000", "10", "3"] in lines
    assert [str(TENANTS[2]), "40", "40", "0", "0"] in lines
    assert "no view" not in printed, "a partition needs none"
    for relation in ("ts_measure", "public.ts_measure_tenant"):
        rows = await old.query(f"SELECT FROM {relation}", role="app_readonly", tenant=str(TENANTS[0]))
        assert len(rows) == 3_000


async def test_partitions_move_with_their_table_and_return(old: OldDatabase) -> None:
    before, wanted = await schema_of(old), await expected(old, "public")
    await old.adopt("--compat-views")
    assert await partitions(old) == {"v1": 9}
    done = await old.migrate("--undo-adopt")
    assert done.returncode == 0, done.stderr
    assert await partitions(old) == {"public": 9}
    assert await expected(old, "public") == wanted
    names = [name for name in (await schema_of(old))[0] if name[0] == "public"]
    assert [name for name in names if name in before[0]] == [name for name in before[0] if name[0] == "public"]
    await old.adopt()
    assert await stored(old) == wanted


async def test_partitions_are_dropped_with_their_table(old: OldDatabase) -> None:
    wanted = await expected(old, "public")
    await old.adopt()
    done = await old.migrate("--drop-v1", "--yes")
    assert done.returncode == 0, done.stderr
    (space,) = re.findall(r"are dropped, with (\d+) kB", done.stdout)
    assert int(space) > 300, "of all partitions"
    assert await partitions(old) == {}
    assert await stored(old) == wanted


async def test_a_partition_in_a_schema_of_its_own_stays_there(old: OldDatabase) -> None:
    await old.owner.execute("CREATE SCHEMA archive; ALTER TABLE ts_measure_rest SET SCHEMA archive")
    wanted = await expected(old, "public")
    await old.adopt()
    assert await stored(old) == wanted
    assert await partitions(old) == {"archive": 1, "v1": 8}
    assert (await old.migrate("--undo-adopt")).returncode == 0
    assert await partitions(old) == {"archive": 1, "public": 8}
    await old.adopt()
    assert (await old.migrate("--drop-v1", "--yes")).returncode == 0
    assert await partitions(old) == {}
