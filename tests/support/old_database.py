"""A database of the first version for the tests of `migrate --adopt`, and what must become of its rows."""

from __future__ import annotations

import asyncio
import json
import subprocess
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tests.support import first_version, program
from tests.support.first_version import DEVICES, POINTS, TENANTS, Kind

NOW = datetime.now(UTC).replace(microsecond=0)
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


async def create_old_database(url: str, owner: Any, kind: Kind) -> OldDatabase:
    """With rows of two tenants, doubled ones, ACKs and errors; the database is empty."""
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
