"""A reader sees its tenant's rows and no others, whatever the database was told to keep, compress and aggregate."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import asyncpg
import pytest

from tests.support.shaped import TENANTS, connected, fill, login, refresh, run_jobs
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import Server
from traksense_ingest.ops.schema.apply import DesiredPolicies, shape

TABLES = ("ts_measure", "cmd_ack", "device_event", "device", "device_point", "ingest_errors")
AGGREGATES = ("1m", "5m", "1h")
# The second is TimescaleDB's planner, which will not plan for the inside of a compressed chunk, whoever asks.
REFUSALS = (asyncpg.InsufficientPrivilegeError, asyncpg.DataCorruptedError)
NO_INDEXES = "SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off"
SHAPES = {
    "plain": None,
    "hypertable": DesiredPolicies(),
    "aggregates": DesiredPolicies(retention=30, aggregates=AGGREGATES),
    "compressed": DesiredPolicies(retention=30, compress_after=2),
    "both": DesiredPolicies(retention=30, compress_after=2, aggregates=AGGREGATES),
}


class Shaped(NamedTuple):
    """A database with rows of five tenants, old ones and new ones, and what readers have of it."""

    url: str
    wanted: DesiredPolicies | None
    owner: Any

    @property
    def views(self) -> list[str]:
        aggregates = self.wanted.aggregates if self.wanted else ()
        return [f"tenant.{name}" for name in (*TABLES, "latest", *(f"ts_measure_{one}" for one in aggregates))]

    @property
    def sources(self) -> list[str]:
        """All that a reader may read from."""
        return [*self.views, "tenant.latest_of('dev')"]


@pytest.fixture(params=SHAPES)
async def shaped(request: pytest.FixtureRequest, database: str, postgres: Server) -> AsyncIterator[Shaped]:
    wanted = SHAPES[request.param]
    if getattr(postgres, "has_timescaledb", False) == (wanted is None):
        pytest.skip("this PostgreSQL has timescaledb" if wanted is None else "this PostgreSQL has no timescaledb")
    async with connected(database) as owner:
        if wanted:
            await shape(database, wanted)
        await fill(owner, 10, 0)
        if wanted:
            await refresh(owner)
            await run_jobs(owner, "policy_compression")
            await check_shape(owner, wanted)
        yield Shaped(database, wanted, owner)


async def check_shape(owner: Any, wanted: DesiredPolicies) -> None:
    """That the test tests what it says."""
    compressed = "SELECT count(*) FROM timescaledb_information.chunks WHERE is_compressed"
    assert await owner.fetchval(compressed) == (1 if wanted.compress_after else 0)
    for name in wanted.aggregates:
        materialized = await owner.fetchval(
            "SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name) "
            "FROM timescaledb_information.continuous_aggregates WHERE view_name = $1",
            f"ts_measure_{name}",
        )
        assert await owner.fetchval(f"SELECT count(*) FROM {materialized}") >= len(TENANTS)


@pytest.fixture
async def reader(shaped: Shaped) -> AsyncIterator[Any]:
    async with login(shaped.url, "IN ROLE traksense_reader") as connection:
        yield connection


async def become(reader: Any, tenant: str) -> None:
    await reader.execute("SELECT set_config('app.tenant_id', $1, false)", tenant)


async def tenants_in(reader: Any, view: str) -> list[str]:
    return [row["tenant_id"] for row in await reader.fetch(f"SELECT DISTINCT tenant_id FROM {view}")]


async def test_a_reader_sees_its_tenant_alone(shaped: Shaped, reader: Any) -> None:
    for view in shaped.sources:
        assert await tenants_in(reader, view) == [], "nothing while the setting is absent"
    for tenant in TENANTS:
        await become(reader, tenant)
        for view in shaped.sources:
            assert await tenants_in(reader, view) == [tenant], view
    for stranger in ("three", "", "_ne", "ONE", "one' OR '1'='1"):
        await become(reader, stranger)
        for view in shaped.sources:
            assert await tenants_in(reader, view) == [], view
    await reader.execute("RESET app.tenant_id")
    for view in shaped.sources:
        assert await tenants_in(reader, view) == [], view


async def test_each_tenant_sees_all_that_is_its(shaped: Shaped, reader: Any) -> None:
    for number, tenant in enumerate(TENANTS, 1):
        await become(reader, tenant)
        assert await reader.fetchval("SELECT count(*) FROM tenant.ts_measure") == 60
        for name in shaped.wanted.aggregates if shaped.wanted else ():
            sums = await reader.fetchrow(
                f"SELECT sum(count), min(min), max(max), max(avg) AS highest FROM tenant.ts_measure_{name}"
            )
            assert tuple(sums) == (60, number, number, number)


async def test_a_reader_reads_nothing_but_the_views(shaped: Shaped, reader: Any) -> None:
    """No relation that holds rows: no chunk, compressed or not, no aggregate, nothing that they are kept in."""
    relations = await shaped.owner.fetch("""
        SELECT c.oid::regclass::text AS name FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
        WHERE relkind IN ('r', 'v', 'm', 'p') AND (
            nspname IN ('public', 'aggregates')
            OR nspname = '_timescaledb_internal' AND relname ~ '_hyper|_view_'
        )""")
    assert len(relations) >= len(TABLES) + 2
    await become(reader, "one")
    has_privilege = "SELECT has_any_column_privilege($1::name, $2::text, 'SELECT')"
    role = await reader.fetchval("SELECT current_user")
    for row in relations:
        for selected in ("*", "count(*)"):
            with pytest.raises(REFUSALS):
                await reader.execute(f"SELECT {selected} FROM {row['name']}")
        assert not await shaped.owner.fetchval(has_privilege, role, row["name"])


async def test_a_reader_changes_nothing(shaped: Shaped, reader: Any) -> None:
    await become(reader, "one")
    for view in shaped.views:
        for statement in (f"DELETE FROM {view}", f"UPDATE {view} SET tenant_id = 'one'", f"TRUNCATE {view}"):
            with pytest.raises(asyncpg.PostgresError, match=r"permission denied|cannot (update|delete)|is not a table"):
                await reader.execute(statement)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.execute(f"ALTER VIEW {view} RESET (security_barrier)")


async def test_a_function_of_the_readers_own_hears_of_no_other_rows(shaped: Shaped, reader: Any) -> None:
    """Cheap enough for the planner to ask it first, and without an index's help, were the view no barrier."""
    heard: list[str] = []
    reader.add_log_listener(lambda _connection, message: heard.append(message.message))
    await reader.execute("""
        CREATE FUNCTION pg_temp.overhear(tenant text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$
        BEGIN RAISE NOTICE '%', tenant; RETURN true; END $$""")
    await reader.execute(NO_INDEXES)
    await become(reader, "one")
    for view in shaped.sources:
        heard.clear()
        await reader.fetch(f"SELECT * FROM {view} WHERE pg_temp.overhear(tenant_id)")
        await eventually(lambda: heard)
        assert set(heard) == {"one"}, view


async def test_an_error_tells_of_no_other_rows(shaped: Shaped, reader: Any) -> None:
    """A division that fails for the second tenant's values alone."""
    await reader.execute(NO_INDEXES)
    await become(reader, "one")
    await reader.fetch("SELECT * FROM tenant.ts_measure WHERE 1 / (v_num - 2) < 9")
    for name in shaped.wanted.aggregates if shaped.wanted else ():
        await reader.fetch(f"SELECT * FROM tenant.ts_measure_{name} WHERE 1 / (max - 2) < 9")
    await become(reader, "two")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await reader.fetch("SELECT * FROM tenant.ts_measure WHERE 1 / (v_num - 2) < 9")


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
async def test_a_plan_that_was_made_for_one_serves_the_next(shaped: Shaped, reader: Any, mode: str) -> None:
    await reader.execute(f"SET plan_cache_mode = {mode}")
    for number, view in enumerate(shaped.sources):
        await become(reader, "one")
        await reader.execute(f"PREPARE seen_{number} AS SELECT DISTINCT tenant_id FROM {view}")
        for tenant in ("one", "two", "nobody", "%"):
            await become(reader, tenant)
            seen = [row["tenant_id"] for row in await reader.fetch(f"EXECUTE seen_{number}")]
            assert seen == ([] if tenant == "nobody" else [tenant]), view


async def test_functions_of_the_same_names_are_not_asked(shaped: Shaped, reader: Any) -> None:
    await reader.execute("""
        CREATE FUNCTION pg_temp.current_setting(text, boolean) RETURNS text LANGUAGE sql AS $$ SELECT 'two' $$;
        CREATE FUNCTION pg_temp.always(text, text) RETURNS boolean LANGUAGE sql AS $$ SELECT true $$;
        CREATE OPERATOR pg_temp.= (LEFTARG = text, RIGHTARG = text, FUNCTION = pg_temp.always);
        CREATE TEMPORARY VIEW ts_measure AS SELECT 'two' AS tenant_id;
        SET search_path = pg_temp, tenant, pg_catalog""")
    await become(reader, "one")
    for view in shaped.sources:
        assert await tenants_in(reader, view) == ["one"], view


async def test_statistics_tell_nothing(shaped: Shaped, reader: Any) -> None:
    await shaped.owner.execute("ANALYZE")
    told = "SELECT count(*) FROM pg_stats WHERE attname IN ('tenant_id', 'device_id', 'point_id')"
    assert await shaped.owner.fetchval(told) > 0
    assert await reader.fetchval(told) == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await reader.execute("SELECT * FROM pg_statistic")


async def test_a_plan_names_no_other_tenant(shaped: Shaped, reader: Any) -> None:
    await shaped.owner.execute("ANALYZE")
    await become(reader, "one")
    for view in shaped.sources:
        plan = await reader.fetchval(f"EXPLAIN (ANALYZE, VERBOSE, FORMAT JSON) SELECT * FROM {view}")
        assert "two" not in plan, view


@pytest.mark.parametrize("day", [0, 10])
async def test_a_view_reads_its_tenants_rows_and_skips_the_others(shaped: Shaped, reader: Any, day: int) -> None:
    """By the index on rows, segments or buckets; chunks of other days are not touched. Day 10 is compressed."""
    await shaped.owner.execute(_MANY)
    if shaped.wanted:
        await refresh(shaped.owner)
        await run_jobs(shaped.owner, "policy_compression")
    await shaped.owner.execute("ANALYZE")
    if day:
        await reader.execute("SET enable_seqscan = off")  # segments are too few here for an index to pay
    await become(reader, "one")
    for view in shaped.views:
        if not view.startswith("tenant.ts_measure"):
            continue
        time = "ts" if view == "tenant.ts_measure" else "bucket"
        text = await reader.fetchval(
            f"EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM {view} WHERE device_id = 'dev' AND point_id = 'temp' "
            f"AND {time} BETWEEN now() - INTERVAL '{day} days 2 hours' AND now() - INTERVAL '{day} days'"
        )
        scans = [node for node in nodes_of(json.loads(text)[0]["Plan"]) if is_scan_of_rows(node)]
        assert scans, view
        assert [node for node in scans if "tenant_id" not in node.get("Index Cond", "")] == [], view
        assert len({node.get("Relation Name", node.get("Index Name")) for node in scans}) <= 4, view


def is_scan_of_rows(node: dict[str, Any]) -> bool:
    return node["Node Type"] in ("Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Index Scan")


def nodes_of(plan: dict[str, Any]) -> Any:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes_of(below)


# Two hours of four days of 200 other devices, so that any other way than by the key would be the dearer one.
_MANY = """
INSERT INTO ts_measure (tenant_id, device_id, point_id, ts, v_num)
SELECT 'other', 'dev' || device, 'temp', now() - make_interval(days => day, mins => 5 * minute), 1
FROM generate_series(1, 200) AS device, unnest(ARRAY[0, 5, 8, 10]) AS day, generate_series(1, 24) AS minute
"""


async def test_who_was_given_the_table_stays_in_its_tenant_while_row_security_is_on(shaped: Shaped) -> None:
    if shaped.wanted and shaped.wanted.compress_after:
        pytest.skip("compression excludes it, and migrate refuses to compress while somebody has it")
    async with login(shaped.url, grant="GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}") as granted:
        await become(granted, "one")
        for table in TABLES:
            assert await tenants_in(granted, f"public.{table}") == ["one"]
        if shaped.wanted and shaped.wanted.aggregates:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await granted.fetch("SELECT * FROM aggregates.ts_measure_1m")
