"""Taking over a database of the first version: every row once, whatever its ids are, and the way back."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support import first_version, program
from tests.support.first_version import DEVICES, POINTS, TENANTS
from tests.support.old_database import NOW, OldDatabase, expected, schema_of, stored
from traksense_ingest.ops.adopt import command
from traksense_ingest.ops.adopt.command import Adoption

pytestmark = pytest.mark.long


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
    strange = "INSERT INTO ts_measure (tenant_id, device_id, point_id, ts) SELECT tenant_id, device_id, point_id, "
    for ts in ("1999-12-31", "2100-01-01"):
        await old.owner.execute(f"{strange} '{ts}' FROM ts_measure LIMIT 1")
    printed = await old.adopt()
    for table, rows in (("cmd_ack", 1), ("ts_measure", 2)):
        assert f"{table}: {rows} rows without an id or a result, or of a time before 2000 or after 2100" in printed


@pytest.mark.parametrize("old", ["text"], indirect=True)
async def test_tables_that_some_installations_lack(old: OldDatabase) -> None:
    await old.owner.execute("DROP TABLE cmd_ack, ingest_errors")
    wanted = await expected(old, "public")
    await old.adopt("--dry-run")
    assert "all rows of the first version are copied" in await old.adopt("--compat-views")
    assert await stored(old) == wanted


@pytest.mark.parametrize("old", ["text"], indirect=True)
async def test_a_table_whose_name_is_needed(old: OldDatabase) -> None:
    await old.owner.execute("CREATE TABLE device (id integer)")
    before = await schema_of(old)
    for options in (("--adopt", "--dry-run"), ("--adopt",)):
        done = await old.migrate(*options)
        assert done.returncode == 2
        assert "there is a table public.device already" in done.stderr.splitlines()[-1]
    assert await schema_of(old) == before


@pytest.mark.parametrize("old", ["text"], indirect=True)
async def test_the_way_back_before_the_migrations(old: OldDatabase) -> None:
    before = await schema_of(old)
    await command.begin(old.url, Adoption())
    done = await old.migrate("--undo-adopt")
    assert done.returncode == 0, done.stderr
    assert [name for name in (await schema_of(old))[0] if name[0] != "adoption"] == before[0]
    await old.adopt()


@pytest.mark.parametrize("old", ["text"], indirect=True)
async def test_rows_that_come_into_the_old_table_are_not_overlooked(old: OldDatabase) -> None:
    """Nobody should write there. If somebody does, it isn't said that all is copied before it is."""
    await command.begin(old.url, Adoption())
    assert (await old.migrate()).returncode == 0
    await old.owner.execute("INSERT INTO adoption.part VALUES ('v1.ts_measure', 0, true)")
    if old.kind.has_timescaledb:
        await old.owner.execute(
            "INSERT INTO adoption.part SELECT chunk::text, 0, true FROM show_chunks('v1.ts_measure') AS chunk"
        )
    done = await old.migrate("--adopt")
    assert done.returncode == 2
    assert "v1.ts_measure has 3053 rows and 0 were copied" in done.stderr.splitlines()[-1]
    assert (await old.migrate("--drop-v1", "--yes")).returncode == 2
    wanted = await expected(old, "v1")
    await old.adopt()
    assert await stored(old) == wanted


@pytest.mark.parametrize("old", ["text"], indirect=True)
async def test_what_depends_on_the_old_tables_is_not_dropped(old: OldDatabase) -> None:
    await old.owner.execute("CREATE VIEW dashboard AS SELECT * FROM ts_measure")
    await old.adopt()
    done = await old.migrate("--drop-v1", "--yes")
    assert done.returncode == 2
    assert "view dashboard depends on" in done.stderr.splitlines()[-1]
    assert len(await old.query("SELECT * FROM dashboard")) == 3_053


@pytest.mark.timescaledb
@pytest.mark.parametrize("old", ["uuid"], indirect=True)
async def test_what_timescaledb_does_by_itself_pauses(old: OldDatabase) -> None:
    if not old.kind.has_timescaledb:
        pytest.skip("this PostgreSQL has no timescaledb")
    jobs = "SELECT job_id, scheduled FROM timescaledb_information.jobs WHERE hypertable_schema = $1 ORDER BY 1"
    before = await old.query(jobs, "public")
    await old.adopt()
    assert await old.query(jobs, "v1") == [(job, False) for job, _ in before]
    assert (await old.migrate("--undo-adopt")).returncode == 0
    assert await old.query(jobs, "public") == before == [(job, True) for job, _ in before]


@pytest.mark.timescaledb
@pytest.mark.parametrize("old", ["uuid"], indirect=True)
async def test_compressed_chunks(old: OldDatabase) -> None:
    if not old.kind.has_timescaledb:
        pytest.skip("this PostgreSQL has no timescaledb")
    wanted = await expected(old, "public")
    await old.owner.execute("ALTER TABLE ts_measure DISABLE ROW LEVEL SECURITY")
    await old.owner.execute("ALTER TABLE ts_measure SET (timescaledb.enable_columnstore)")
    await old.owner.execute("SELECT compress_chunk(chunk) FROM show_chunks('ts_measure') AS chunk")
    printed = [line.split() for line in (await old.adopt("--dry-run")).splitlines()]
    assert ["acme", "3013", "13", "3"] in printed
    await old.adopt()
    now = await stored(old)
    assert now.keys() == wanted.keys()
    assert sum(now[key] != wanted[key] for key in wanted) <= 3, (
        "which of two rows was stored last is not known any more"
    )


async def test_the_latest_value_of_each_point(old: OldDatabase) -> None:
    await old.adopt()
    latest: dict[tuple[Any, ...], Any] = {}
    for (*point, ts), values in sorted((await stored(old)).items(), key=lambda item: item[0][3]):
        latest[tuple(point)] = (ts, *values[:4])
    await old.owner.execute("SET app.tenant_id = 'acme'")
    rows = await old.query("SELECT tenant_id, device_id, point_id, ts, v_num, v_bool, v_text, unit FROM tenant.latest")
    assert {row[:3]: row[3:] for row in rows} == {key: row for key, row in latest.items() if key[0] == "acme"}


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
    (space,) = re.findall(r"are dropped, with (\d+) kB", done.stdout)
    assert int(space) > 500, "chunks and aggregates count too"
    assert await stored(old) == wanted
    assert not [name for name in (await schema_of(old))[0] if name[0] == "v1"]
    for option in ("--undo-adopt", "--adopt"):
        done = await old.migrate(option)
        assert done.returncode == 2
        assert "dropped" in done.stderr.splitlines()[-1]
