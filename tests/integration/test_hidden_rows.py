"""Rows in the root table, which no query shows: `status` finds them, `migrate --recover-rows` stores them."""

from __future__ import annotations

import asyncio
import logging

import asyncpg
import pytest

from tests.support.services import administer
from tests.support.shaped import connected, login, refresh, run_jobs
from tests.support.stack import Stack, telem
from tests.support.unsound import hide, in_root, run, store
from traksense_ingest.ops.embedded import Server
from traksense_ingest.ops.schema import Refused, hidden
from traksense_ingest.ops.schema import migrate as migration
from traksense_ingest.ops.schema.apply import DesiredPolicies, shape
from traksense_ingest.ops.schema.hidden import Recovery
from traksense_ingest.ops.schema.migrate import migrate
from traksense_ingest.shared import integrity
from traksense_ingest.shared.database import migrations

MADE = "SELECT made_hypertable FROM schema_migrations WHERE version = 2"
VALUES = "SELECT v_num, count(*) FROM ts_measure WHERE device_id = 'hidden' GROUP BY 1 ORDER BY 1"

pytestmark = pytest.mark.timescaledb


async def values(url: str) -> dict[float, int]:
    async with connected(url) as connection:
        return {row["v_num"]: row["count"] for row in await connection.fetch(VALUES)}


async def test_they_are_found_and_brought_back_and_what_is_seen_stays(stack: Stack, timescale: str) -> None:
    await store(timescale, 0, 30, value=1.0)
    await hide(timescale, 20, 50, value=2.0)
    assert await values(timescale) == {1.0: 30}
    status = await stack.status("--skip", "broker")
    found = "30 rows of ts_measure that no query shows"
    assert (status.returncode, found in status.stdout) == (1, True), status.stdout
    assert "`traksense-ingest migrate --recover-rows` brings them back" in status.stdout
    checked = await run("validate", "--timeout", "1", **stack.environment)
    assert f"CHECK 6: Database               [FAIL] {found}" in checked.stdout
    noticed = await run("migrate", DATABASE_URL=timescale)
    assert (noticed.returncode, found in noticed.stderr) == (0, True), noticed.stderr

    recovered = await run("migrate", "--recover-rows", DATABASE_URL=timescale)
    assert (recovered.returncode, recovered.stdout) == (
        0,
        "ts_measure: 20 rows that no query showed are back, 10 more were stored already\n",
    ), recovered.stderr
    assert found not in recovered.stderr
    assert await values(timescale) == {1.0: 30, 2.0: 20}
    again = await run("migrate", "--recover-rows", DATABASE_URL=timescale)
    assert again.stdout == "nothing to do: the database is up to date\n"
    await stack.is_well()


async def test_nothing_is_lost_or_doubled_when_it_is_killed(timescale: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await hide(timescale, 0, 1000, value=1.0)
    monkeypatch.setattr(hidden, "BLOCKS", 1)
    split_by_size = 0
    recover_portion = Recovery._recover_portion

    async def until_the_third(self: Recovery, *place: object) -> None:
        nonlocal split_by_size
        split_by_size += 1
        await recover_portion(self, *place)  # type: ignore[arg-type]
        if split_by_size == 3:
            raise asyncio.CancelledError

    with monkeypatch.context() as patched:
        patched.setattr(Recovery, "_recover_portion", until_the_third)
        with pytest.raises(asyncio.CancelledError):
            await Recovery(timescale).run()
    seen = (await values(timescale))[1.0]
    assert 0 < seen < 1000
    assert await in_root(timescale) == 1000 - seen
    assert await Recovery(timescale).run() == [
        f"ts_measure: {1000 - seen} rows that no query showed are back, 0 more were stored already"
    ]
    assert await values(timescale) == {1.0: 1000}


async def test_a_portion_that_takes_too_many_locks_is_made_smaller(
    timescale: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As rows of a thousand days do, each of which has a chunk."""
    await hide(timescale, 0, 1000, value=1.0)
    recover_portion, tried = Recovery._recover_portion, []

    async def only_small_ones(self: Recovery, connection: object, first: int, last: int) -> None:
        tried.append(last - first)
        if last - first > 4:
            raise asyncpg.OutOfMemoryError("out of shared memory")
        await recover_portion(self, connection, first, last)

    monkeypatch.setattr(Recovery, "_recover_portion", only_small_ones)
    await Recovery(timescale).run()
    assert await values(timescale) == {1.0: 1000}
    assert tried[:7] == [128, 64, 32, 16, 8, 4, 4]


async def test_writers_write_on(stack: Stack, timescale: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hidden, "BLOCKS", 1)
    await hide(timescale, 0, 1000, value=1.0)
    await stack.writer()
    messages = [telem("dev", second) for second in range(100)]
    recovery = asyncio.create_task(Recovery(timescale).run())
    for topic, payload in messages:
        await stack.append(topic, payload)
    await recovery
    await stack.has_rows("ts_measure", 1000 + len(messages))
    assert await stack.count("ingest_errors") == 0


async def test_they_come_into_aggregates_and_compressed_chunks(timescale: str) -> None:
    """Yesterday's chunk is compressed and its aggregate refreshed before they are back."""
    wanted = DesiredPolicies(compress_after=1, aggregates=("1h",))
    await store(timescale, 0, 30, value=1.0)
    await shape(timescale, wanted)
    async with connected(timescale) as owner:
        await owner.execute("SELECT compress_chunk(chunk) FROM show_chunks('ts_measure') AS chunk")
        await refresh(owner)
        await hide(timescale, 20, 50, value=2.0)
        await Recovery(timescale).run()
        assert await values(timescale) == {1.0: 30, 2.0: 20}
        await refresh(owner)
        await run_jobs(owner, "policy_compression")
        assert await owner.fetchval("SELECT sum(count)::integer FROM aggregates.ts_measure_1h") == 50


async def test_a_role_that_may_not_see_them_learns_what_it_needs(timescale: str, postgres: Server) -> None:
    """And a role that may not count them says that there may be some, until they are gone."""
    name = timescale.rpartition("/")[2]
    await hide(timescale, 0, 30, value=1.0)
    async with login(timescale) as other:
        role = await other.fetchval("SELECT current_user")
        try:
            for kind, what in (("DATABASE", name), ("SCHEMA", "public")):
                await administer_in(timescale, f"ALTER {kind} {what} OWNER TO {role}")
            await administer_in(timescale, f"ALTER TABLE ts_measure OWNER TO {role}")
            await administer_in(timescale, f"ALTER FUNCTION hidden_rows OWNER TO {role}")
            await administer_in(timescale, f"GRANT ALL ON schema_migrations TO {role}")
            url = timescale.replace("//postgres:postgres@", f"//{role}:reader@")
            found = await integrity.problem(other)
            assert found is not None
            assert found.startswith("there may be rows of ts_measure that no query shows")
            with pytest.raises(Refused, match=r"--recover-rows: permission denied to set parameter .*GRANT SET ON"):
                await Recovery(url).run()
            await administer_in(timescale, f"GRANT SET ON PARAMETER timescaledb.restoring TO {role}")
            assert len(await Recovery(url).run()) == 1
            assert await values(timescale) == {1.0: 30}
        finally:
            await administer_in(timescale, f"REASSIGN OWNED BY {role} TO postgres")
            await administer(postgres, f"REASSIGN OWNED BY {role} TO postgres")
            await administer(postgres, f"DROP OWNED BY {role}")


async def administer_in(url: str, statement: str) -> None:
    async with connected(url) as connection:
        await connection.execute(statement)


async def test_a_writer_s_role_may_count_them(timescale: str) -> None:
    await hide(timescale, 0, 30, value=1.0)
    async with login(timescale, "BYPASSRLS", "GRANT traksense_writer TO {role}") as writer:
        found = await integrity.problem(writer)
        assert found is not None
        assert found.startswith("30 rows of ts_measure that no query shows")


async def test_many_are_counted_no_further_than_it_is_cheap(timescale: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, "COUNTED", 20)
    await hide(timescale, 0, 30, value=1.0)
    async with connected(timescale) as connection:
        found = await integrity.problem(connection)
        assert found is not None
        assert found.startswith("20 rows or more of ts_measure")


async def test_an_older_version_s_hypertable_is_known(
    empty_database: str, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not getattr(postgres, "has_timescaledb", False):
        pytest.skip("this PostgreSQL has no timescaledb")
    await migrate_as_of_old(empty_database, monkeypatch)
    await migrate(empty_database)
    async with connected(empty_database) as connection:
        assert await connection.fetchval(MADE)


async def test_a_plain_table_that_an_operator_makes_a_hypertable_is_known_from_the_next_run_on(
    empty_database: str, postgres: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """TimescaleDB came after the tables."""
    if not getattr(postgres, "has_timescaledb", False):
        pytest.skip("this PostgreSQL has no timescaledb")
    await migrate_as_of_old(empty_database, monkeypatch, without="0002_hypertable")
    await migrate(empty_database)
    async with connected(empty_database) as connection:
        assert not await connection.fetchval(MADE)
        await connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        await migrate(empty_database)
        assert not await connection.fetchval(MADE)
        await connection.execute("SELECT create_hypertable('ts_measure', by_range('ts', INTERVAL '1 day'))")
        with caplog.at_level(logging.WARNING):
            assert await migrate(empty_database) == []
        assert await connection.fetchval(MADE)


async def migrate_as_of_old(url: str, monkeypatch: pytest.MonkeyPatch, without: str = "") -> None:
    """Up to version 7, and for a plain table with a second migration that had no TimescaleDB to use."""
    old = [one if one.name != without else one._replace(sql="SELECT 1") for one in migrations() if one.version <= 7]
    with monkeypatch.context() as patched:
        patched.setattr(migration, "migrations", lambda: old)
        patched.setattr(migration, "_NOTE_HYPERTABLE", "SELECT 1")
        patched.setattr(integrity, "require", integrity.require_session)
        await migrate(url)
