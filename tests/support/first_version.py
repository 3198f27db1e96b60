"""A database as the first version left it: its tables, views, roles and policies, and rows of all kinds."""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

TENANTS = [UUID(int=0xA000 + number) for number in range(3)]  # the last one has no row in tenancy_client
DEVICES = [UUID(int=0xD000 + number) for number in range(4)]
POINTS = [UUID(int=0xB000 + number) for number in range(5)]
NAMES = ("acme", "frigo")  # of the first two tenants

_TABLES = """
CREATE TABLE public.ts_measure (
    tenant_id {id} NOT NULL, device_id {id} NOT NULL, point_id {id} NOT NULL, ts timestamptz NOT NULL,
    v_num double precision, v_bool boolean, v_text text, unit text, qual smallint DEFAULT 0, meta jsonb
) {partitions};
CREATE INDEX ON ts_measure (tenant_id, device_id, point_id, ts DESC);
CREATE INDEX ON ts_measure (tenant_id, ts DESC);
CREATE INDEX ON ts_measure (device_id, ts DESC);
CREATE TABLE public.cmd_ack (
    tenant_id {id} NOT NULL, device_id {id} NOT NULL, cmd_id {id} NOT NULL, ok boolean NOT NULL, ts_exec timestamptz,
    payload jsonb, created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(),
    PRIMARY KEY (tenant_id, device_id, cmd_id)
);
CREATE TABLE public.ingest_errors (
    id bigserial PRIMARY KEY, tenant_id {id}, topic text, payload jsonb, reason text, ts timestamptz DEFAULT now()
);
ALTER TABLE ts_measure ENABLE ROW LEVEL SECURITY;
CREATE POLICY ts_tenant_isolation ON ts_measure USING (tenant_id = current_setting('app.tenant_id', true)::{id});
CREATE VIEW public.ts_measure_tenant AS
SELECT tenant_id, device_id, point_id, ts, v_num, v_bool, v_text, unit, qual, meta FROM ts_measure
WHERE tenant_id = current_setting('app.tenant_id', true)::{id};
"""

# A day each, the newest of which have no rows yet, and one for all other times. The newest has the first name.
_PARTITIONS = """
DO $$
DECLARE
    day date;
BEGIN
    FOR number IN 1 .. 8 LOOP
        day := current_date + 4 - number;
        EXECUTE format(
            'CREATE TABLE ts_measure_part_%s PARTITION OF ts_measure FOR VALUES FROM (%L) TO (%L)', number, day, day + 1
        );
    END LOOP;
    CREATE TABLE ts_measure_rest PARTITION OF ts_measure DEFAULT;
END
$$;
"""

_PLATFORM = """
CREATE TABLE public.tenancy_client (id serial PRIMARY KEY, uuid uuid, schema_name text UNIQUE);
INSERT INTO tenancy_client (uuid, schema_name) VALUES ('{0}', 'acme'), ('{1}', 'frigo');
CREATE SCHEMA acme;
CREATE TABLE acme.devices_device (id uuid PRIMARY KEY, name text);
INSERT INTO acme.devices_device VALUES ('{2}', 'chiller-1'), ('{3}', 'twin'), ('{4}', 'twin');
"""

_ROLES = """
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['app_user', 'app_readonly', 'app_migrations'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = name);
        BEGIN
            EXECUTE format('CREATE ROLE %I', name);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
END
$$;
GRANT SELECT, INSERT ON ts_measure TO app_user;
GRANT SELECT ON ts_measure, ts_measure_tenant, cmd_ack, ingest_errors TO app_user, app_readonly;
"""

_AGGREGATE = """
CREATE MATERIALIZED VIEW public.ts_measure_{name} WITH (timescaledb.continuous) AS
SELECT time_bucket('{width}', ts) AS tb, tenant_id, device_id, point_id, avg(v_num) AS v_avg, min(v_num) AS v_min,
    max(v_num) AS v_max, count(*) AS v_count
FROM ts_measure GROUP BY 1, 2, 3, 4 WITH NO DATA
"""
_AGGREGATE_VIEW = """
CREATE VIEW public.ts_measure_{name}_tenant AS
SELECT tb AS bucket, tenant_id, device_id, point_id, v_avg, v_max, v_min, v_count AS n FROM ts_measure_{name}
WHERE tenant_id = current_setting('app.tenant_id', true)::{id};
GRANT SELECT ON ts_measure_{name}_tenant TO app_user, app_readonly
"""
WIDTHS = {"1m": "1 minute", "5m": "5 minutes", "1h": "1 hour"}

# So many rows, back in time from a moment: in turn a number, a boolean with its 0 or 1, a text with an empty meta, and
# a number with a quality and a meta.
_ROWS = """
INSERT INTO ts_measure (tenant_id, device_id, point_id, ts, v_num, v_bool, v_text, unit, qual, meta)
SELECT '{tenant}', ('{{{devices}}}'::text[])[1 + n % {device_count}]::{id}, ('{{{points}}}'::text[])[1 + n % 4]::{id},
    $1::timestamptz - n * {every}::interval,
    CASE n % 4 WHEN 0 THEN n WHEN 1 THEN n % 2 WHEN 3 THEN n END,
    CASE WHEN n % 4 = 1 THEN n % 2 = 1 END, CASE WHEN n % 4 = 2 THEN 'RUN' END, CASE WHEN n % 4 = 0 THEN '°C' END,
    CASE WHEN n % 4 = 3 THEN 2 ELSE 0 END,
    CASE n % 4 WHEN 2 THEN '{{}}'::jsonb WHEN 3 THEN '{{"fw": "1.2"}}' END
FROM generate_series(1, $2) AS n
"""


class Kind(NamedTuple):
    """What differs between databases of the first version."""

    id_type: str  # uuid, or text where somebody has changed it
    has_timescaledb: bool
    is_partitioned: bool = False  # by PostgreSQL itself


async def create(connection: Any, kind: Kind) -> None:
    """Its tables, without rows; the database is empty."""
    if kind.has_timescaledb:
        await connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    partitions = "PARTITION BY RANGE (ts)" if kind.is_partitioned else ""
    await connection.execute(_TABLES.format(id=kind.id_type, partitions=partitions))
    if kind.is_partitioned:
        await connection.execute(_PARTITIONS)
    if kind.has_timescaledb:
        await connection.execute("ALTER TABLE ts_measure DISABLE ROW LEVEL SECURITY")
        await connection.execute(
            "SELECT create_hypertable('ts_measure', 'ts', chunk_time_interval => INTERVAL '1 day', "
            "create_default_indexes => false)"
        )
    await connection.execute(_PLATFORM.format(TENANTS[0], TENANTS[1], *DEVICES[:3]))
    await connection.execute(_ROLES)
    if kind.has_timescaledb:
        for name, width in WIDTHS.items():
            await connection.execute(_AGGREGATE.format(name=name, width=width))
            await connection.execute(_AGGREGATE_VIEW.format(name=name, id=kind.id_type))
        await connection.execute(
            "SELECT add_retention_policy('ts_measure', INTERVAL '14 days', initial_start => now() + INTERVAL '1 day')"
        )
        await connection.execute("ALTER TABLE ts_measure ENABLE ROW LEVEL SECURITY")


async def add_rows(
    connection: Any, kind: Kind, until: Any, count: int, *, tenant: UUID = TENANTS[0], every: str = "1 minute"
) -> None:
    """Rows of all kinds of value, before a moment."""
    devices = DEVICES[:3]
    statement = _ROWS.format(
        tenant=tenant,
        devices=",".join(map(str, devices)),
        device_count=len(devices),
        points=",".join(map(str, POINTS)),
        id=kind.id_type,
        every=f"'{every}'",
    )
    await connection.execute(statement, until, count)


async def refresh(connection: Any) -> None:
    """All aggregates, to the end."""
    for name in WIDTHS:
        await connection.execute(f"CALL refresh_continuous_aggregate('public.ts_measure_{name}', NULL, NULL)")
