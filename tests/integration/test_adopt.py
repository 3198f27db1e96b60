"""Taking over a database of the first version: every row once, whatever its ids are, and the way back."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import pytest

from tests.support import first_version, program
from tests.support.first_version import DEVICES, POINTS, TENANTS, WIDTHS, Kind
from traksense_ingest.ops.embedded import Server

NOW = datetime.now(UTC).replace(microsecond=0)
AGGREGATES = {"INGEST_AGGREGATES": "1m,5m,1h"}
OLD_ROWS = "SELECT tenant_id::text, device_id::text, point_id::text, ts, v_num, v_bool, v_text, unit, qual, meta::text"


class OldDatabase(NamedTuple):
    """A database of the first version, and a connection of its owner."""

    url: str
    owner: Any
    kind: Kind

    async def migrate(self, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """The command, to its end."""
        environment = {"DATABASE_URL": self.url, **variables}
        return await asyncio.to_thread(program.run, "ops", "migrate", *options, environment=environment)

    async def adopt(self, *options: str, **variables: str) -> str:
        """The same with --adopt; it succeeds. Returns what it prints."""
        done = await self.migrate("--adopt", *options, **variables)
        assert done.returncode == 0, done.stderr
        return done.stdout

    async def query(self, statement: str, *arguments: Any, role: str | None = None, tenant: str = "") -> list[Any]:
        """Rows, as a role that is of a tenant; None: as the owner."""
        async with self.owner.transaction():
            if role:
                await self.owner.execute(f"SET LOCAL ROLE {role}")
                await self.owner.execute("SET LOCAL search_path = compat, public")
                await self.owner.execute("SELECT set_config('app.tenant_id', $1, true)", tenant)
            return [tuple(row) for row in await self.owner.fetch(statement, *arguments)]


@pytest.fixture
async def empty(empty_database: str) -> AsyncIterator[tuple[str, Any]]:
    owner = await asyncpg.connect(empty_database, statement_cache_size=0)
    await owner.execute("SET timezone = 'UTC'")
    yield empty_database, owner
    await owner.close()


@pytest.fixture(params=["uuid", "text"])
async def old(request: pytest.FixtureRequest, empty: tuple[str, Any], postgres: Server) -> OldDatabase:
    """With rows of two tenants, doubled ones, ACKs and errors."""
    url, owner = empty
    kind = Kind(request.param, bool(getattr(postgres, "has_timescaledb", False)))
    await first_version.create(owner, kind)
    await first_version.add_rows(owner, kind, NOW, 3_000)
    await first_version.add_rows(owner, kind, NOW, 40, tenant=TENANTS[2], every="1 hour")
    same = "INSERT INTO ts_measure SELECT * FROM ts_measure ORDER BY ts DESC, tenant_id LIMIT 10"
    await owner.execute(same)
    await owner.execute(
        "INSERT INTO ts_measure (tenant_id, device_id, point_id, ts, v_num, qual) "
        f"SELECT tenant_id, device_id, point_id, ts, -5, 0 FROM ts_measure WHERE tenant_id = '{TENANTS[0]}' "
        "AND v_bool IS NULL ORDER BY ts LIMIT 3"
    )
    await owner.execute(
        "INSERT INTO cmd_ack (tenant_id, device_id, cmd_id, ok, ts_exec, payload) VALUES "
        f"('{TENANTS[0]}', '{DEVICES[0]}', '{POINTS[0]}', false, $1, '{{\"err\": \"E7\"}}'), "
        f"('{TENANTS[0]}', '{DEVICES[0]}', '{POINTS[1]}', true, NULL, NULL)",
        NOW,
    )
    await owner.execute(
        "INSERT INTO ingest_errors (tenant_id, topic, payload, reason) VALUES "
        f"('{TENANTS[0]}', 'traksense/acme/s/chiller-1/telem', '{{\"schema\": \"v9\"}}', 'parse_error: schema'), "
        "(NULL, 'somewhere/else', '\"text\"', 'no such topic')"
    )
    return OldDatabase(url, owner, kind)


async def schema_of(old: OldDatabase) -> list[Any]:
    """All relations with their rows' number, and all policies of TimescaleDB."""
    names = await old.query(
        "SELECT relnamespace::regnamespace::text, relname, relkind::text FROM pg_class "
        "WHERE relnamespace::regnamespace::text !~ '^(pg_|_timescaledb|information_schema|timescaledb)' ORDER BY 1, 2"
    )
    jobs = []
    if old.kind.has_timescaledb:
        jobs = await old.query(
            "SELECT hypertable_schema, hypertable_name, proc_name, config - 'hypertable_id' - 'mat_hypertable_id' "
            "FROM timescaledb_information.jobs WHERE job_id >= 1000 ORDER BY 1, 2, 3"
        )
    return [names, jobs]


def named(tenant: str, device: str) -> tuple[str, str]:
    """As the platform's tables have it: two devices have the same name, and keep their ids."""
    if tenant != str(TENANTS[0]):
        return tenant, device
    return "acme", "chiller-1" if device == str(DEVICES[0]) else device


def as_now(row: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Key and values of a row of the first version, as it is stored now."""
    tenant, device, point, ts, v_num, v_bool, v_text, unit, qual, meta = row
    content = json.loads(meta) if meta else {}
    if qual:
        content["qual"] = qual
    values = (None if v_bool is not None else v_num, v_bool, v_text, unit, content or None)
    return (*named(tenant, device), point, ts), values


async def expected(old: OldDatabase, schema: str) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Of several rows of one key the one that was stored last."""
    rows = await old.query(f"{OLD_ROWS} FROM {schema}.ts_measure ORDER BY ts, tableoid, ctid")
    return dict(map(as_now, rows))


async def stored(old: OldDatabase) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    rows = await old.query(
        "SELECT tenant_id, device_id, point_id, ts, v_num, v_bool, v_text, unit, meta::text FROM public.ts_measure"
    )
    return {row[:4]: (*row[4:8], json.loads(row[8]) if row[8] else None) for row in rows}


async def test_plain_migrate_changes_nothing_and_says_what_to_run(old: OldDatabase) -> None:
    before = await schema_of(old)
    done = await old.migrate()
    assert done.returncode == 2
    assert "migrate --adopt --dry-run" in done.stderr.splitlines()[-1]
    assert await schema_of(old) == before


async def test_a_dry_run_counts_and_changes_nothing(old: OldDatabase) -> None:
    before = await schema_of(old)
    printed = await old.adopt("--dry-run")
    assert [line.split() for line in printed.splitlines()[:3]] == [
        ["tenant", "rows", "duplicates", "conflicts"],
        [str(TENANTS[2]), "40", "0", "0"],
        ["acme", "3013", "13", "3"],
    ]
    assert f"tenant {TENANTS[2]}" in printed
    assert f"device {DEVICES[1]} of tenant acme" in printed
    assert "another one is called 'twin' too" in printed
    assert await schema_of(old) == before


async def test_every_row_is_there_once_as_this_version_stores_it(old: OldDatabase) -> None:
    wanted = await expected(old, "public")
    printed = await old.adopt()
    assert await stored(old) == wanted
    lines = [line.split() for line in printed.splitlines()]
    assert ["acme", "3013", "3000", "10", "3"] in lines
    assert [str(TENANTS[2]), "40", "40", "0", "0"] in lines
    kept = await old.query("SELECT tenant_id, device_id, point_id, ts, v_num FROM adoption.conflict")
    assert len(kept) == 3
    assert all(value != -5 for *_, value in kept), "the one that was stored last is in the table"
    assert await expected(old, "v1") == wanted, "nothing of the old tables was changed"


async def test_acks_and_dead_letters_are_ours(old: OldDatabase, tmp_path: Path) -> None:
    await old.adopt()
    acks = await old.query(
        "SELECT tenant_id, device_id, cmd_id, ok, ts_exec, err, payload::text FROM cmd_ack ORDER BY 3"
    )
    assert [(*row[:6], json.loads(row[6])) for row in acks] == [
        ("acme", "chiller-1", str(POINTS[0]), False, NOW, "E7", {"err": "E7"}),
        ("acme", "chiller-1", str(POINTS[1]), True, None, None, {"cmd_id": str(POINTS[1]), "ok": True}),
    ]
    letters = await old.query(
        "SELECT tenant_id, topic, payload, reason, error_class, stream FROM ingest_errors ORDER BY id"
    )
    assert letters == [
        ("acme", "traksense/acme/s/chiller-1/telem", '{"schema": "v9"}', "parse_error: schema", "parse_error", "v1"),
        (None, "somewhere/else", '"text"', "parse_error: first version: no such topic", "parse_error", "v1"),
    ]
    listed = await asyncio.to_thread(program.run, "ops", "dlq", "list", environment={"DATABASE_URL": old.url})
    assert listed.returncode == 0, listed.stderr
    assert "parse_error" in listed.stdout


async def test_devices_are_known_from_their_rows(old: OldDatabase) -> None:
    await old.adopt()
    rows = await old.query(
        "SELECT tenant_id, device_id, first_seen = first, last_seen = last FROM device "
        "JOIN (SELECT tenant_id, device_id, min(ts) AS first, max(ts) AS last FROM ts_measure GROUP BY 1, 2) AS seen "
        "USING (tenant_id, device_id)"
    )
    assert len(rows) == 6
    assert all(row[2:] == (True, True) for row in rows)


async def test_names_from_files(old: OldDatabase, tmp_path: Path) -> None:
    (tmp_path / "tenants.csv").write_text(f"old,new\n{TENANTS[2]},third\n")
    (tmp_path / "devices.csv").write_text(
        f"{TENANTS[0]},{DEVICES[1]},compressor\n{TENANTS[2]},{DEVICES[0]},chiller-1\n"
    )
    (tmp_path / "points.csv").write_text(f"{POINTS[0]},temperature\n")
    files = [f"--{name}-map={tmp_path / f'{name}s.csv'}" for name in ("tenant", "device", "point")]
    await old.adopt(*files)
    devices = await old.query("SELECT tenant_id, device_id FROM device ORDER BY 1, 2")
    assert devices == [
        ("acme", str(DEVICES[2])),
        ("acme", "chiller-1"),
        ("acme", "compressor"),
        ("third", str(DEVICES[1])),
        ("third", str(DEVICES[2])),
        ("third", "chiller-1"),
    ]
    assert {row[0] for row in await old.query("SELECT point_id FROM ts_measure")} == {
        "temperature",
        *map(str, POINTS[1:4]),
    }


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a,b,c\n", "line 1: should be old,new, is 'a,b,c'"),
        ("old,new\na,b\nc,\n", "line 3: should be old,new, is 'c,'"),
        (f"a,{'n' * 129}\n", f"line 1: '{'n' * 129}' should have 1 to 128 characters, has 129"),
        ("a,same\nb,same\n", "2 ids would get the name 'same', and their rows would be mixed up"),
        ("a,one\na,two\n", "a has two names, 'one' and 'two'"),
    ],
)
@pytest.mark.parametrize("old", ["text"], indirect=True)
async def test_a_file_that_is_wrong(old: OldDatabase, tmp_path: Path, text: str, line: str) -> None:
    before = await schema_of(old)
    file = tmp_path / "tenants.csv"
    file.write_text(text)
    done = await old.migrate("--adopt", f"--tenant-map={file}")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(line)
    assert await schema_of(old) == before


@pytest.mark.parametrize("old", ["text"], indirect=True)
async def test_a_schema_whose_name_is_needed(old: OldDatabase) -> None:
    await old.owner.execute("CREATE SCHEMA v1")
    before = await schema_of(old)
    done = await old.migrate("--adopt")
    assert done.returncode == 2
    assert "there is a schema v1 already" in done.stderr.splitlines()[-1]
    assert await schema_of(old) == before


@pytest.mark.parametrize("old", ["text"], indirect=True)
async def test_rows_that_no_table_takes_are_counted(old: OldDatabase) -> None:
    await old.owner.execute("ALTER TABLE cmd_ack ALTER ok DROP NOT NULL")
    await old.owner.execute("UPDATE cmd_ack SET ok = NULL WHERE ok")
    assert "cmd_ack: 1 rows without an id or a result stay in the schema v1" in await old.adopt()


@pytest.mark.timescaledb
@pytest.mark.parametrize("old", ["uuid"], indirect=True)
async def test_compressed_chunks(old: OldDatabase) -> None:
    if not old.kind.has_timescaledb:
        pytest.skip("this PostgreSQL has no timescaledb")
    wanted = await expected(old, "public")
    await old.owner.execute("ALTER TABLE ts_measure DISABLE ROW LEVEL SECURITY")
    await old.owner.execute("ALTER TABLE ts_measure SET (timescaledb.enable_columnstore)")
    await old.owner.execute("SELECT compress_chunk(chunk) FROM show_chunks('ts_measure') AS chunk")
    await old.adopt("--dry-run")
    await old.adopt()
    now = await stored(old)
    assert now.keys() == wanted.keys()
    assert sum(now[key] != wanted[key] for key in wanted) <= 3, (
        "which of two rows was stored last is not known any more"
    )


async def test_ids_are_kept_where_that_is_wanted(old: OldDatabase) -> None:
    await old.adopt("--keep-ids")
    tenants = {row[0] for row in await old.query("SELECT DISTINCT tenant_id FROM ts_measure")}
    assert tenants == {str(TENANTS[0]), str(TENANTS[2])}


async def test_the_way_back(old: OldDatabase) -> None:
    before, wanted = await schema_of(old), await expected(old, "public")
    await old.adopt()
    done = await old.migrate("--undo-adopt")
    assert done.returncode == 0, done.stderr
    names, jobs = await schema_of(old)
    kept = [name for name in names if name[0] == "public" and not name[1].startswith("schema_migrations")]
    assert kept == [name for name in before[0] if name[0] == "public"]
    assert [job for job in jobs if job[2] == "policy_retention"] == [
        job for job in before[1] if job[2] == "policy_retention"
    ]
    assert await expected(old, "public") == wanted
    assert (await old.migrate()).returncode == 2, "a database of the first version again"
    await first_version.add_rows(old.owner, old.kind, NOW + timedelta(hours=1), 30)
    wanted = await expected(old, "public")
    await old.adopt()
    assert await stored(old) == wanted, "what the first version stored meanwhile is copied too"


def _retentions(jobs: list[Any]) -> list[Any]:
    return [job for job in jobs if job[2] == "policy_retention"]


async def test_there_is_no_way_back_after_the_tables_are_dropped(old: OldDatabase) -> None:
    refused = await old.migrate("--drop-v1", "--yes")
    assert refused.returncode == 2
    wanted = await expected(old, "public")
    await old.adopt()
    done = await old.migrate("--drop-v1", "--yes")
    assert done.returncode == 0, done.stderr
    assert await stored(old) == wanted
    assert not [name for name in (await schema_of(old))[0] if name[0] == "v1"]
    for option in ("--undo-adopt", "--adopt"):
        done = await old.migrate(option)
        assert done.returncode == 2
        assert "dropped" in done.stderr.splitlines()[-1]


async def old_rows(old: OldDatabase, relation: str, **role: Any) -> list[Any]:
    return await old.query(f"{OLD_ROWS} FROM {relation} ORDER BY ts, 2, 3, v_num", **role)


async def test_views_with_the_old_names_and_columns(old: OldDatabase) -> None:
    tenant = str(TENANTS[0])
    before = [row for row in await old_rows(old, "ts_measure") if row[0] == tenant]
    await old.adopt("--compat-views")
    for relation in ("ts_measure", "public.ts_measure_tenant"):
        for role in ("app_user", "app_readonly"):
            rows = await old_rows(old, relation, role=role, tenant=tenant)
            assert len(rows) == 3_000
            assert {row[:7] for row in rows} <= {row[:7] for row in before}
            assert {row[8] for row in rows} == {0, 2}
    assert await old_rows(old, "ts_measure", role="app_user", tenant=str(TENANTS[1])) == []
    assert await old_rows(old, "ts_measure", role="app_user") == []
    acks = await old.query("SELECT cmd_id::text, ok FROM cmd_ack ORDER BY 1", role="app_readonly", tenant=tenant)
    assert acks == [(str(POINTS[0]), False), (str(POINTS[1]), True)]
    letters = await old.query("SELECT topic FROM ingest_errors", role="app_readonly", tenant=tenant)
    assert letters == [("traksense/acme/s/chiller-1/telem",)]


async def test_what_the_old_service_inserts_is_stored(old: OldDatabase) -> None:
    await old.adopt("--compat-views")
    id_ = old.kind.id_type
    insert = (
        "INSERT INTO ts_measure (tenant_id, device_id, point_id, ts, v_num, v_bool, qual) "
        f"VALUES ($1::text::{id_}, $2::text::{id_}, $3::text::{id_}, $4, 1, true, 3)"
    )
    row = (str(TENANTS[0]), str(DEVICES[0]), str(POINTS[4]), NOW)
    for _ in range(2):
        await old.query(insert, *row, role="app_user", tenant=str(TENANTS[0]))
    found = await old.query("SELECT v_num, v_bool, meta::text FROM ts_measure WHERE point_id = $1", str(POINTS[4]))
    assert found == [(None, True, '{"qual": 3}')]
    async with old.owner.transaction():
        await old.owner.execute("SET LOCAL SESSION AUTHORIZATION app_user")
        await old.owner.execute("SET LOCAL search_path = compat, public")
        await old.owner.execute(f"SET LOCAL app.tenant_id = '{TENANTS[1]}'")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match=r"while app\.tenant_id is"):
            await old.owner.execute(insert, *row)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await old.query(insert, *row, role="app_readonly", tenant=str(TENANTS[0]))


async def test_without_an_adoption_there_are_no_such_views(empty: tuple[str, Any]) -> None:
    url, owner = empty
    for option in ("--compat-views", "--undo-adopt", "--drop-v1", "--adopt"):
        done = await OldDatabase(url, owner, Kind("text", False)).migrate(option, *["--yes"] * (option == "--drop-v1"))
        assert done.returncode == 2, option
        assert option in done.stderr.splitlines()[-1]


@pytest.mark.timescaledb
@pytest.mark.parametrize("old", ["uuid"], indirect=True)
async def test_a_years_chart_stays_a_years(old: OldDatabase) -> None:
    if not old.kind.has_timescaledb:
        pytest.skip("this PostgreSQL has no timescaledb")
    await first_version.add_rows(old.owner, old.kind, NOW - timedelta(days=100), 2_000)
    await first_version.refresh(old.owner)
    charts = {name: await _chart(old, f"public.ts_measure_{name}", "tb", "v_") for name in WIDTHS}
    await old.owner.execute("SELECT drop_chunks('ts_measure', INTERVAL '14 days')")
    await old.adopt(**AGGREGATES)
    for _ in range(2):
        for name, chart in charts.items():
            ours = await _chart(old, f"aggregates.complete_{name}", "bucket", "", "sum / count")
            assert {key: ours[key] for key in chart if chart[key] is not None} == chart
        for name in WIDTHS:
            await old.owner.execute("SET app.tenant_id = 'acme'")
            seen = await old.query(
                f"SELECT sum(count) FROM tenant.ts_measure_{name} WHERE bucket < now() - INTERVAL '20 days'"
            )
            assert seen[0][0] >= 1_500, "numbers and booleans of a hundred days ago"
        assert (await old.migrate("--drop-v1", "--yes")).returncode in (0, 2)  # the second time it is done already


async def _chart(old: OldDatabase, relation: str, time: str, prefix: str, avg: str = "v_avg") -> Mapping[Any, Any]:
    """Average, least and greatest of what was a number in the first version too, a boolean not."""
    rows = await old.query(
        f"SELECT {time}, tenant_id::text, device_id::text, point_id::text, {avg}, {prefix}min, {prefix}max "
        f"FROM {relation} WHERE point_id::text <> '{POINTS[1]}' AND {prefix}min IS NOT NULL AND {time} < $1",
        NOW - timedelta(days=20),
    )
    return {(row[0], *named(row[1], row[2]), row[3]): tuple(round(value, 6) for value in row[4:]) for row in rows}
