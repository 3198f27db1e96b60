"""`migrate` makes the database as the variables say, and again as they say something else."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from tests.support import program
from tests.support.shaped import connected, fill, login, refresh, run_jobs
from traksense_ingest.ops.embedded import Server
from traksense_ingest.ops.schema import Refused
from traksense_ingest.ops.schema.apply import DesiredPolicies, shape
from traksense_ingest.ops.schema.migrate import migrate
from traksense_ingest.shared.failure import Kind, kind_of

ALL = DesiredPolicies(retention=30, dlq_retention=90, compress_after=7, aggregates=("1m", "5m", "1h"))
OFF = DesiredPolicies()

JOBS = "SELECT proc_name, hypertable_name, config FROM timescaledb_information.jobs WHERE job_id >= 1000 ORDER BY 1, 2"
HAS_ROW_SECURITY = "SELECT relrowsecurity FROM pg_class WHERE oid = 'ts_measure'::regclass"

pytestmark = pytest.mark.timescaledb


async def jobs(connection: Any) -> list[tuple[str, str]]:
    return [(row["proc_name"], row["hypertable_name"]) for row in await connection.fetch(JOBS)]


async def test_all_at_once_and_then_nothing_is_left_to_do(timescale: str) -> None:
    assert len(await shape(timescale, ALL)) == 10
    assert await shape(timescale, ALL) == []
    async with connected(timescale) as connection:
        assert await jobs(connection) == [
            ("policy_compression", "ts_measure"),
            ("policy_refresh_continuous_aggregate", "ts_measure_1h"),
            ("policy_refresh_continuous_aggregate", "ts_measure_1m"),
            ("policy_refresh_continuous_aggregate", "ts_measure_5m"),
            ("policy_retention", "ts_measure"),
            ("purge_dead_letters", None),
        ]


async def test_what_is_changed_is_said_and_what_is_unset_ends(timescale: str) -> None:
    await shape(timescale, DesiredPolicies(retention=30, dlq_retention=90))
    assert await shape(timescale, DesiredPolicies(retention=60, dlq_retention=45)) == [
        "ts_measure: rows are kept 60 days (before: 30 days)",
        "ingest_errors: rows are kept 45 days (before: 90 days)",
    ]
    assert await shape(timescale, OFF) == [
        "ts_measure: rows are kept for ever (before: 60 days)",
        "ingest_errors: rows are kept for ever (before: 45 days)",
    ]
    async with connected(timescale) as connection:
        assert await jobs(connection) == []


async def test_rows_are_dropped_only_when_no_refresh_of_before_runs_any_more(timescale: str) -> None:
    await shape(timescale, DesiredPolicies(retention=30))
    next_run = "SELECT next_start > now() + INTERVAL '30 minutes' FROM timescaledb_information.jobs"
    async with connected(timescale) as connection:
        assert await connection.fetchval(f"{next_run} WHERE proc_name = 'policy_retention'")


async def test_row_security_is_off_for_as_long_as_it_must_be(timescale: str, caplog: pytest.LogCaptureFixture) -> None:
    async with connected(timescale) as connection:
        await fill(connection, 20)
        await shape(timescale, DesiredPolicies(aggregates=("1m",)))
        assert await connection.fetchval(HAS_ROW_SECURITY), "aggregates don't need it off"
        await shape(timescale, DesiredPolicies(compress_after=7, aggregates=("1m",)))
        assert not await connection.fetchval(HAS_ROW_SECURITY)
        await run_jobs(connection, "policy_compression")
        changes = await shape(timescale, DesiredPolicies(aggregates=("1m",)))
        assert changes == ["ts_measure: chunks are not compressed"]
        assert not await connection.fetchval(HAS_ROW_SECURITY)
        assert "1 chunks of ts_measure stay compressed, and row level security stays off" in caplog.text
        await connection.fetch("SELECT decompress_chunk(chunk) FROM show_chunks('ts_measure') AS chunk")
        assert await shape(timescale, DesiredPolicies(aggregates=("1m",))) == [
            "ts_measure: row level security is on again"
        ]
        assert await connection.fetchval(HAS_ROW_SECURITY)


@pytest.mark.parametrize("days", [None, 14, 30])
async def test_another_schema_s_table_of_the_same_name_is_another_table(timescale: str, days: int | None) -> None:
    """It has every policy there is, and its jobs have lower numbers."""
    wanted = DesiredPolicies(retention=days, dlq_retention=days, compress_after=days and days - 7, aggregates=("1h",))
    async with connected(timescale) as connection:
        await make_another(connection)
        before = await connection.fetch(OTHERS)
        changes = await shape(timescale, wanted)
        assert len(changes) == (6 if days else 2)
        assert await shape(timescale, wanted) == []
        found = {row["proc_name"]: row["config"] for row in await connection.fetch(OURS)}
        assert ("policy_retention" in found, "policy_compression" in found) == (bool(days), bool(days))
        assert f'"drop_after": "{days} days"' in found.get("policy_retention", f'"drop_after": "{days} days"')
        assert len(await shape(timescale, OFF, drop_others=True)) == (5 if days else 1)
        assert await connection.fetch(OTHERS) == before, "theirs stay as they were"


OURS = (
    "SELECT proc_name, config FROM timescaledb_information.jobs WHERE job_id >= 1000 AND "
    "hypertable_schema IN ('public', 'aggregates')"
)
OTHERS = (
    "SELECT job_id, proc_schema, proc_name, hypertable_schema, hypertable_name, config, scheduled FROM "
    "timescaledb_information.jobs WHERE job_id >= 1000 AND 'other' IN (hypertable_schema, proc_schema) ORDER BY 1"
)


async def make_another(connection: Any) -> None:
    """A schema with our tables' names, and policies of other ages on each."""
    statements = """
        CREATE SCHEMA other;
        CREATE TABLE other.ts_measure (LIKE public.ts_measure);
        SELECT create_hypertable('other.ts_measure', by_range('ts'));
        SELECT add_retention_policy('other.ts_measure', INTERVAL '14 days');
        ALTER TABLE other.ts_measure SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'tenant_id');
        CALL add_columnstore_policy('other.ts_measure', after => INTERVAL '7 days');
        CREATE MATERIALIZED VIEW other.ts_measure_1h WITH (timescaledb.continuous) AS
            SELECT tenant_id, time_bucket('1 hour', ts), count(*) FROM other.ts_measure GROUP BY 1, 2 WITH NO DATA;
        SELECT add_continuous_aggregate_policy('other.ts_measure_1h', NULL, INTERVAL '1 hour', INTERVAL '1 hour');
        CREATE PROCEDURE other.purge_dead_letters(job_id integer, config jsonb) LANGUAGE sql AS '';
        SELECT add_job('other.purge_dead_letters', INTERVAL '1 day', '{"older_than": "14 days"}')
    """
    for statement in statements.split(";"):
        await connection.execute(statement)


async def test_an_aggregate_is_dropped_only_when_told_so(timescale: str, caplog: pytest.LogCaptureFixture) -> None:
    async with connected(timescale) as connection:
        await shape(timescale, DesiredPolicies(aggregates=("1m", "5m")))
        await fill(connection, 1)
        await refresh(connection)
        assert await shape(timescale, DesiredPolicies(aggregates=("1m",))) == []
        assert "aggregates.ts_measure_5m is not in INGEST_AGGREGATES and stays, with " in caplog.text
        assert await connection.fetchval("SELECT count(*) FROM aggregates.ts_measure_5m") == 5
        (dropped,) = await shape(timescale, DesiredPolicies(aggregates=("1m",)), drop_others=True)
        assert dropped.startswith("aggregates.ts_measure_5m: dropped, with ")
        assert await connection.fetchval("SELECT to_regclass('tenant.ts_measure_5m')") is None
        assert await connection.fetchval("SELECT count(*) FROM aggregates.ts_measure_1m") > 0


async def test_one_that_another_is_made_from_is_not_dropped(timescale: str) -> None:
    await shape(timescale, DesiredPolicies(aggregates=("1m", "1h")))
    with pytest.raises(Refused, match="ts_measure_1h is made from ts_measure_1m"):
        await shape(timescale, DesiredPolicies(aggregates=("1h",)), drop_others=True)
    assert len(await shape(timescale, OFF, drop_others=True)) == 2


async def test_several_processes_at_once_change_each_thing_once(timescale: str) -> None:
    changes = await asyncio.gather(*(shape(timescale, ALL) for _ in range(4)))
    assert sorted(len(some) for some in changes) == [0, 0, 0, 10]


async def test_writers_write_on(timescale: str) -> None:
    """Every COPY that began before, during and after."""
    stop = asyncio.Event()

    async def write() -> int:
        copied = 0
        async with connected(timescale) as connection:
            while not stop.is_set():
                await connection.execute(
                    "INSERT INTO ts_measure (tenant_id, device_id, point_id, ts, v_num) VALUES "
                    f"('t', 'd', 'p{copied}', now(), 1)"
                )
                copied += 1
        return copied

    writer = asyncio.create_task(write())
    for wanted in (ALL, DesiredPolicies(aggregates=ALL.aggregates), ALL, OFF):
        await shape(timescale, wanted)
    stop.set()
    async with connected(timescale) as connection:
        assert await connection.fetchval("SELECT count(*) FROM ts_measure") == await writer > 0


async def test_a_table_in_use_is_waited_for_as_for_an_outage(timescale: str) -> None:
    """Not for long at once: writers wait behind it."""
    async with connected(timescale) as reader, reader.transaction():
        await reader.fetch("SELECT * FROM ts_measure")
        with pytest.raises(asyncpg.LockNotAvailableError) as raised:
            async with asyncio.timeout(60):
                await shape(timescale, ALL)
        assert kind_of(raised.value) is Kind.OUTAGE
    assert await shape(timescale, OFF) == [], "nothing was changed"
    assert len(await shape(timescale, ALL)) == 10


@pytest.mark.parametrize(
    ("grant", "wanted"),
    [
        ("GRANT SELECT ON ts_measure TO {role}", DesiredPolicies(compress_after=7)),
        ("GRANT SELECT (v_num) ON ts_measure TO {role}", DesiredPolicies(compress_after=7)),
        ("GRANT DELETE ON ts_measure TO {role}", DesiredPolicies(compress_after=7)),
        ("GRANT pg_read_all_data TO {role}", DesiredPolicies(compress_after=7)),
        ("GRANT pg_read_all_data TO {role}", DesiredPolicies(aggregates=("1m",))),
        ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {role}", DesiredPolicies(aggregates=("1m",))),
    ],
)
async def test_nobody_is_let_in_by_it(timescale: str, grant: str, wanted: DesiredPolicies) -> None:
    async with login(timescale, grant=grant) as reader:
        role = await reader.fetchval("SELECT current_user")
        with pytest.raises(Refused, match=f"nothing was changed: {role} would read every tenant's telemetry"):
            await shape(timescale, wanted)
        async with connected(timescale) as connection:
            assert await connection.fetchval(HAS_ROW_SECURITY)
            assert await jobs(connection) == []
    assert await shape(timescale, wanted)


async def test_who_came_in_later_is_a_warning(timescale: str, caplog: pytest.LogCaptureFixture) -> None:
    await shape(timescale, DesiredPolicies(compress_after=7))
    async with login(timescale, grant="GRANT SELECT ON ts_measure TO {role}") as reader:
        role = await reader.fetchval("SELECT current_user")
        assert await shape(timescale, DesiredPolicies(compress_after=7)) == []
    assert f"{role} may read every tenant's telemetry" in caplog.text


async def test_the_owner_of_a_database_may_shape_it(empty_database: str, postgres: Server) -> None:
    if not getattr(postgres, "has_timescaledb", False):
        pytest.skip("this PostgreSQL has no timescaledb")
    name = empty_database.rpartition("/")[2]
    url = empty_database.replace("//postgres:postgres@", f"//owner_{name}:owner@")
    async with connected(empty_database) as admin:
        await admin.execute(f"CREATE ROLE owner_{name} LOGIN PASSWORD 'owner'")
        await admin.execute(f"ALTER DATABASE {name} OWNER TO owner_{name}")
        await admin.execute(f"ALTER SCHEMA public OWNER TO owner_{name}")
        try:
            await migrate(url)
            assert len(await shape(url, ALL)) == 10
            async with connected(url) as owner:
                await fill(owner, 40, 10, 0)
                await refresh(owner)
                for procedure in ("policy_compression", "policy_retention", "purge_dead_letters"):
                    await run_jobs(owner, procedure)
                assert await owner.fetchval("SELECT count(*) FROM ts_measure") == 2 * 5 * 30
            assert len(await shape(url, OFF, drop_others=True)) > 5
        finally:
            await admin.execute(f"REASSIGN OWNED BY owner_{name} TO postgres")
            await admin.execute(f"ALTER DATABASE {name} OWNER TO postgres")
            await admin.execute(f"DROP OWNED BY owner_{name}")
            await admin.execute(f"DROP ROLE owner_{name}")


async def test_the_command_says_what_it_changed(timescale: str) -> None:
    variables = {"INGEST_RETENTION_DAYS": "30", "INGEST_AGGREGATES": "1h", "DATABASE_URL": timescale}
    for said in (
        [
            "aggregates.ts_measure_1h: made from ts_measure",
            "aggregates.ts_measure_1h: refreshed every hour, as far back as 29 days",
            "ts_measure: rows are kept 30 days (before: for ever)",
        ],
        ["nothing to do: the database is up to date"],
    ):
        done = await asyncio.to_thread(program.run, "ops", "migrate", environment=variables)
        assert done.stdout.splitlines() == said
    async with login(timescale, grant="GRANT SELECT ON ts_measure TO {role}"):
        variables["INGEST_COMPRESS_AFTER_DAYS"] = "7"
        done = await asyncio.to_thread(program.run, "ops", "migrate", environment=variables)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith("nothing was changed: reader_")
