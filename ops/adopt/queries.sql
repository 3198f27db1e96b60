-- Every statement of `migrate --adopt`, which takes over a database of the first version. A name in a comment line starts
-- one; ops/adopt/sql.py reads them. {chunk} is a quoted name, {tenant}, {device} and {point} are the parts of those names.
--
-- Schemas: `v1` has the first version's tables, as they were; `adoption` has what this command knows; after an undo `v2` has
-- the tables of this version.

-- name: has_schema
SELECT to_regnamespace($1) IS NOT NULL

-- name: has_timescaledb
SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')

-- name: create_state
CREATE SCHEMA IF NOT EXISTS adoption;
CREATE TABLE IF NOT EXISTS adoption.state (
    status   text NOT NULL, -- copying, copied, undone, dropped
    begun_at timestamptz NOT NULL DEFAULT now(),
    jobs     integer[] NOT NULL -- of TimescaleDB on the first version's tables, which pause until an undo
);
CREATE UNIQUE INDEX IF NOT EXISTS state_is_one ON adoption.state ((true));
CREATE TABLE IF NOT EXISTS adoption.tenant (old text PRIMARY KEY, new text NOT NULL);
CREATE TABLE IF NOT EXISTS adoption.device (tenant text, old text, new text NOT NULL, PRIMARY KEY (tenant, old));
CREATE TABLE IF NOT EXISTS adoption.point (old text PRIMARY KEY, new text NOT NULL);
CREATE TABLE IF NOT EXISTS adoption.relation (name text PRIMARY KEY, columns jsonb NOT NULL); -- [[name, type], …]
CREATE TABLE IF NOT EXISTS adoption.device_point (
    tenant_id text COLLATE "C", device_id text COLLATE "C", point_id text COLLATE "C", old text NOT NULL,
    PRIMARY KEY (tenant_id, device_id, point_id)
);
CREATE TABLE IF NOT EXISTS adoption.part (
    name     text PRIMARY KEY, -- a chunk, or a table
    position bigint, -- blocks, or rows, that are still to be copied; NULL: not begun
    is_done  boolean NOT NULL DEFAULT false
);
CREATE TABLE IF NOT EXISTS adoption.copied (
    tenant_id  text PRIMARY KEY,
    rows       bigint NOT NULL DEFAULT 0, -- of the first version's ts_measure
    stored     bigint NOT NULL DEFAULT 0, -- those that were not stored yet
    conflicts  bigint NOT NULL DEFAULT 0 -- those that say something else than the row that is stored
);
CREATE TABLE IF NOT EXISTS adoption.conflict (
    tenant_id text, device_id text, point_id text, ts timestamptz,
    v_num double precision, v_bool boolean, v_text text, unit text, meta jsonb
);
COMMENT ON TABLE adoption.conflict IS 'Rows of the first version that were not stored, since ts_measure has another row of the same tenant, device, point and time.'

-- name: state
SELECT status, begun_at, jobs FROM adoption.state

-- name: set_state
INSERT INTO adoption.state (status, jobs) VALUES ($1, $2)
ON CONFLICT ((true)) DO UPDATE SET status = excluded.status, begun_at = now(), jobs = excluded.jobs

-- name: set_status
UPDATE adoption.state SET status = $1

-- name: set_copied
UPDATE adoption.state SET status = 'copied' WHERE status = 'copying'

-- name: relations
-- The tables, views and aggregates of the first version in a schema, views before what they read.
SELECT class.relname AS name,
    CASE
        WHEN aggregate.view_name IS NOT NULL OR class.relkind = 'm' THEN 'MATERIALIZED VIEW'
        WHEN class.relkind = 'v' THEN 'VIEW'
        ELSE 'TABLE'
    END AS kind
FROM pg_class AS class
LEFT JOIN ({aggregates}) AS aggregate ON aggregate.view_schema = $1 AND aggregate.view_name = class.relname
WHERE class.relnamespace = to_regnamespace($1) AND class.relkind IN ('r', 'p', 'v', 'm')
    AND class.relname ~ '^(ts_measure|ts_measure_tenant|ts_measure_(1m|5m|1h)(_tenant)?|cmd_ack|ingest_errors)$'
ORDER BY class.relkind IN ('r', 'p'), aggregate.view_name IS NOT NULL, right(class.relname, 1) = 'm', class.relname DESC

-- name: partitions
-- Those of ts_measure that are in its schema, quoted: of a table that is partitioned without TimescaleDB.
SELECT quote_ident(relname) AS name FROM pg_partition_tree(to_regclass($1 || '.ts_measure')) JOIN pg_class ON oid = relid
WHERE level > 0 AND relnamespace = to_regnamespace($1) ORDER BY level, 1

-- name: aggregates
SELECT view_schema, view_name FROM timescaledb_information.continuous_aggregates

-- name: no_aggregates
SELECT NULL::name AS view_schema, NULL::name AS view_name

-- name: ours
-- The tables and views of this version, in a schema.
SELECT class.relname AS name, CASE WHEN class.relkind = 'v' THEN 'VIEW' ELSE 'TABLE' END AS kind FROM pg_class AS class
WHERE class.relnamespace = to_regnamespace($1) AND class.relkind IN ('r', 'p', 'v') AND class.relname = ANY ($2)
ORDER BY class.relname

-- name: grantees
-- Whoever may use one of the relations of a schema, other than their owners: quoted, or PUBLIC.
SELECT DISTINCT coalesce(quote_ident(grantee.rolname), 'PUBLIC') AS role
FROM pg_class AS class
CROSS JOIN LATERAL aclexplode(class.relacl) AS entry
LEFT JOIN pg_roles AS grantee ON grantee.oid = entry.grantee
WHERE class.relnamespace = to_regnamespace($1) AND entry.grantee <> class.relowner

-- name: jobs
-- What TimescaleDB does by itself with relations of a schema: drops, compresses, refreshes.
SELECT job_id AS id FROM timescaledb_information.jobs
WHERE hypertable_schema = $1 AND hypertable_name = ANY ($2) AND scheduled ORDER BY job_id

-- name: jobs_of_ours
SELECT job_id AS id FROM timescaledb_information.jobs
WHERE hypertable_schema = 'aggregates' OR (hypertable_schema = 'public' AND hypertable_name = 'ts_measure')
    OR (proc_schema = 'public' AND proc_name = 'purge_dead_letters')

-- name: schedule
SELECT alter_job(id, scheduled => $2) FROM unnest($1::integer[]) AS id
WHERE id IN (SELECT job_id FROM timescaledb_information.jobs)

-- name: drop_after
SELECT config ->> 'drop_after' FROM timescaledb_information.jobs
WHERE job_id = ANY ($1) AND proc_name = 'policy_retention' AND hypertable_name = 'ts_measure'

-- name: lock
-- Without waiting: whoever waits for such a lock keeps all others waiting behind it.
LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE NOWAIT

-- name: chunks
-- Newest first.
SELECT format('%I.%I', chunk_schema, chunk_name) AS name, is_compressed
FROM timescaledb_information.chunks
WHERE hypertable_schema = $1 AND hypertable_name = 'ts_measure'
ORDER BY range_end DESC

-- name: forced
-- The tables of the first version of which this role sees some rows only, though it may be their owner.
SELECT format('%I.%I', relnamespace::regnamespace, relname) AS name FROM pg_class
WHERE (
        oid IN (SELECT relid FROM pg_partition_tree(to_regclass($1 || '.ts_measure')))
        OR oid IN (to_regclass($1 || '.ts_measure'), to_regclass($1 || '.cmd_ack'), to_regclass($1 || '.ingest_errors'))
    )
    AND relforcerowsecurity AND row_security_active(oid)
ORDER BY 1

-- name: leaves
-- Of a table that is partitioned without TimescaleDB, newest first: a bound is a text that begins with the same words and a
-- time. The partition for all other times comes last.
SELECT format('%I.%I', relnamespace::regnamespace, relname) AS name
FROM pg_partition_tree(to_regclass($1)) JOIN pg_class ON oid = relid
WHERE isleaf ORDER BY pg_get_expr(relpartbound, oid) DESC

-- name: is_hypertable
SELECT EXISTS (
    SELECT FROM timescaledb_information.hypertables
    WHERE hypertable_schema = $1 AND hypertable_name = 'ts_measure'
)

-- name: decompress
SELECT decompress_chunk('{chunk}')

-- name: blocks
SELECT pg_relation_size('{chunk}') / current_setting('block_size')::bigint

-- name: part
SELECT position, is_done FROM adoption.part WHERE name = $1

-- name: set_part
INSERT INTO adoption.part (name, position, is_done) VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE SET position = excluded.position, is_done = excluded.is_done

-- name: forget_parts
-- After an undo the first version may have stored more.
TRUNCATE adoption.part, adoption.copied, adoption.conflict

-- name: take_portion
-- Some blocks of a chunk, as rows of this version.
CREATE TEMPORARY TABLE portion ON COMMIT DROP AS
SELECT {tenant} AS tenant_id, {device} AS device_id, {point} AS point_id, old.ts,
    CASE WHEN old.v_bool IS NULL THEN old.v_num END AS v_num, old.v_bool, old.v_text, old.unit,
    CASE
        WHEN coalesce(old.qual, 0) = 0 THEN nullif(nullif(old.meta, '{{}}'), 'null')
        WHEN jsonb_typeof(old.meta) = 'object' THEN old.meta || jsonb_build_object('qual', old.qual)
        ELSE jsonb_strip_nulls(jsonb_build_object('qual', old.qual, 'meta', nullif(old.meta, 'null')))
    END AS meta,
    old.point_id::text AS old_point, old.ctid AS place
FROM ONLY {chunk} AS old {names}
WHERE old.ctid >= '({first},0)' AND old.ctid < '({last},0)'
    AND old.tenant_id IS NOT NULL AND old.device_id IS NOT NULL AND old.point_id IS NOT NULL
    AND old.ts >= '2000-01-01' AND old.ts < '2100-01-01'

-- name: store_portion
-- Of several rows of one key the one that was stored last; sorted, so that writers are waited for, not deadlocked with.
WITH new AS (
    INSERT INTO public.ts_measure (tenant_id, device_id, point_id, ts, v_num, v_bool, v_text, unit, meta)
    SELECT DISTINCT ON (tenant_id COLLATE "C", device_id COLLATE "C", point_id COLLATE "C", ts)
        tenant_id, device_id, point_id, ts, v_num, v_bool, v_text, unit, meta
    FROM portion
    ORDER BY tenant_id COLLATE "C", device_id COLLATE "C", point_id COLLATE "C", ts, place DESC
    ON CONFLICT DO NOTHING
    RETURNING tenant_id
)
INSERT INTO adoption.copied AS before (tenant_id, rows, stored)
SELECT tenant_id, sum(rows), sum(stored)
FROM (
    SELECT tenant_id, count(*) AS rows, 0 AS stored FROM portion GROUP BY tenant_id
    UNION ALL
    SELECT tenant_id, 0, count(*) FROM new GROUP BY tenant_id
) AS counted
GROUP BY tenant_id ORDER BY tenant_id
ON CONFLICT (tenant_id) DO UPDATE SET rows = before.rows + excluded.rows, stored = before.stored + excluded.stored
RETURNING (SELECT count(*) FROM portion) AS read, (SELECT count(*) FROM new) AS stored

-- name: limits
SELECT min(ts) AS first, max(ts) AS last FROM portion

-- name: keep_conflicts
-- Rows of the portion that differ from what is stored.
WITH differing AS (
    INSERT INTO adoption.conflict
    SELECT old.tenant_id, old.device_id, old.point_id, old.ts, old.v_num, old.v_bool, old.v_text, old.unit, old.meta
    FROM portion AS old
    JOIN public.ts_measure AS stored USING (tenant_id, device_id, point_id, ts)
    WHERE stored.ts BETWEEN $1 AND $2
        AND (stored.v_num, stored.v_bool, stored.v_text, stored.unit, stored.meta)
            IS DISTINCT FROM (old.v_num, old.v_bool, old.v_text, old.unit, old.meta)
    RETURNING tenant_id
)
UPDATE adoption.copied AS copied SET conflicts = copied.conflicts + found.rows
FROM (SELECT tenant_id, count(*) AS rows FROM differing GROUP BY tenant_id) AS found
WHERE found.tenant_id = copied.tenant_id

-- name: store_devices
-- Which site a device is at, its next message says.
INSERT INTO public.device AS known (tenant_id, device_id, site_id, first_seen, last_seen)
SELECT tenant_id, device_id, 'unknown', min(ts), max(ts) FROM portion
GROUP BY 1, 2 ORDER BY tenant_id COLLATE "C", device_id COLLATE "C"
ON CONFLICT (tenant_id, device_id) DO UPDATE SET
    first_seen = least(known.first_seen, excluded.first_seen), last_seen = greatest(known.last_seen, excluded.last_seen)
WHERE excluded.first_seen < known.first_seen OR excluded.last_seen > known.last_seen

-- name: store_points
INSERT INTO public.device_point AS known (tenant_id, device_id, point_id, unit, first_seen)
SELECT tenant_id, device_id, point_id, (array_agg(unit ORDER BY ts DESC))[1], min(ts) FROM portion
GROUP BY 1, 2, 3 ORDER BY tenant_id COLLATE "C", device_id COLLATE "C", point_id COLLATE "C"
ON CONFLICT (tenant_id, device_id, point_id) DO UPDATE SET first_seen = least(known.first_seen, excluded.first_seen)
WHERE excluded.first_seen < known.first_seen

-- name: copy_acks
-- An ACK of this version stays, unless the first version has one that was executed later.
INSERT INTO public.cmd_ack AS known (tenant_id, device_id, cmd_id, ok, ts_exec, err, payload, created_at, updated_at)
SELECT DISTINCT ON (1, 2, 3) {tenant} COLLATE "C", {device} COLLATE "C", old.cmd_id::text COLLATE "C", old.ok, old.ts_exec, old.payload ->> 'err',
    coalesce(old.payload, jsonb_build_object('cmd_id', old.cmd_id::text, 'ok', old.ok)),
    coalesce(old.created_at, old.updated_at, now()), coalesce(old.updated_at, old.created_at, now())
FROM v1.cmd_ack AS old {names}
WHERE old.tenant_id IS NOT NULL AND old.device_id IS NOT NULL AND old.cmd_id IS NOT NULL AND old.ok IS NOT NULL
ORDER BY 1, 2, 3, old.ts_exec DESC NULLS LAST, old.updated_at DESC NULLS LAST
ON CONFLICT (tenant_id, device_id, cmd_id) DO UPDATE SET
    (ok, ts_exec, err, payload) = (
        SELECT one.ok, one.ts_exec, one.err, one.payload
        FROM (VALUES
            (known.ok, known.ts_exec, known.err, known.payload, 1),
            (excluded.ok, excluded.ts_exec, excluded.err, excluded.payload, 2)
        ) AS one (ok, ts_exec, err, payload, place)
        ORDER BY one.ts_exec DESC NULLS LAST, one.place
        LIMIT 1
    ),
    created_at = least(known.created_at, excluded.created_at),
    updated_at = greatest(known.updated_at, excluded.updated_at)

-- name: copy_dead_letters
-- The reason begins with the class, as in this version. Every value may be replayed: the topic and the payload are there.
INSERT INTO public.ingest_errors (
    ts, tenant_id, topic, payload, reason, error_class, stream, entry_id, deliveries
)
SELECT coalesce(old.ts, now()), {tenant}, coalesce(old.topic, ''), coalesce(old.payload::text, ''),
    CASE WHEN said.class IS NULL THEN 'parse_error: first version: ' || coalesce(old.reason, 'no reason given') ELSE old.reason END,
    coalesce(said.class, 'parse_error'), 'v1', old.id::text, 1
FROM v1.ingest_errors AS old {names}
LEFT JOIN LATERAL (
    SELECT class FROM unnest($1::text[]) AS class WHERE split_part(old.reason, ':', 1) = class
) AS said ON true
ORDER BY old.id
ON CONFLICT (stream, entry_id) DO NOTHING

-- name: clients
-- Tenants and their names, where the platform's own tables have them.
SELECT EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = to_regclass('public.tenancy_client') AND attname = 'uuid'
) AND EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = to_regclass('public.tenancy_client') AND attname = 'schema_name'
)

-- name: client_names
SELECT uuid::text AS old, schema_name::text AS new FROM public.tenancy_client
WHERE uuid IS NOT NULL AND schema_name IS NOT NULL ORDER BY 1

-- name: has_devices
SELECT count(*) = 2 FROM pg_attribute
WHERE attrelid = to_regclass(format('%I.devices_device', $1::text)) AND attname IN ('id', 'name') AND NOT attisdropped

-- name: device_names
SELECT id::text AS old, name::text AS new FROM {schema}.devices_device WHERE name IS NOT NULL ORDER BY 1

-- name: used_ids
-- Every tenant and device there is anything of.
SELECT DISTINCT tenant_id::text AS tenant, device_id::text AS device FROM {schema}.ts_measure
WHERE tenant_id IS NOT NULL AND device_id IS NOT NULL ORDER BY 1, 2

-- name: taken_tenants
-- Names that are ids as well.
SELECT name FROM unnest($1::text[]) AS name
WHERE EXISTS (SELECT FROM {schema}.ts_measure AS old WHERE old.tenant_id = name)

-- name: taken_devices
SELECT tenant, name FROM unnest($1::text[], $2::text[]) AS named (tenant, name)
WHERE EXISTS (
    SELECT FROM {schema}.ts_measure AS old WHERE old.tenant_id = named.tenant AND old.device_id = named.name
)

-- name: id_type
SELECT format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = to_regclass($1) AND attname = 'tenant_id'

-- name: used_points
SELECT DISTINCT point_id::text AS point FROM {schema}.ts_measure WHERE point_id IS NOT NULL ORDER BY 1

-- name: set_names
INSERT INTO adoption.{table} SELECT * FROM unnest({arrays}) ON CONFLICT ({key}) DO NOTHING

-- name: saved_tenants
SELECT old, new FROM adoption.tenant

-- name: saved_devices
SELECT tenant, old, new FROM adoption.device

-- name: saved_points
SELECT old, new FROM adoption.point

-- name: counts
-- Rows by tenant; duplicates have a key that another row has too, and conflicts are those of them that say something else.
-- Of a chunk, which without ONLY is read whether it is compressed or not.
SELECT tenant_id::text AS tenant, sum(rows)::bigint AS rows, sum(rows - 1)::bigint AS duplicates,
    (sum(rows - 1) FILTER (WHERE least_ <> greatest_))::bigint AS conflicts
FROM (
    SELECT tenant_id, count(*) AS rows, min(value) AS least_, max(value) AS greatest_
    FROM (
        SELECT tenant_id, device_id, point_id, ts,
            hashtextextended(row(v_num, v_bool, v_text, unit, qual, meta)::text, 0) AS value
        FROM {chunk}
    ) AS row_
    GROUP BY tenant_id, device_id, point_id, ts
) AS key
GROUP BY 1

-- name: number_of
SELECT count(*) FROM {table}

-- name: aggregate_exists
SELECT to_regclass($1) IS NOT NULL

-- name: create_history
CREATE TABLE IF NOT EXISTS aggregates.history_{name} (
    tenant_id text COLLATE "C" NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    point_id  text COLLATE "C" NOT NULL,
    bucket    timestamptz NOT NULL,
    sum       double precision NOT NULL,
    min       double precision NOT NULL,
    max       double precision NOT NULL,
    count     bigint NOT NULL,
    CONSTRAINT history_{name}_key UNIQUE (tenant_id, device_id, point_id, bucket)
);
COMMENT ON TABLE aggregates.history_{name} IS 'What the first version''s aggregate had of the time before its rows.'

-- name: make_history_hypertable
SELECT create_hypertable(
    'aggregates.history_{name}', by_range('bucket', INTERVAL '{interval}'), create_default_indexes => false,
    if_not_exists => true
)

-- name: history_limits
SELECT min(tb) AS first, max(tb) AS last FROM v1.ts_measure_{name}

-- name: copy_history
-- All of it, also of the time of which there are rows: the view decides which of two buckets counts. Two points that have
-- one name now are one point. Beyond 1e290 a sum might be an error, and would stop all.
WITH old AS (
    SELECT {tenant} AS tenant_id, {device} AS device_id, {point} AS point_id, old.tb AS bucket,
        sum(old.v_avg * old.v_count) AS sum, min(old.v_min) AS min, max(old.v_max) AS max, sum(old.v_count)::bigint AS count
    FROM v1.ts_measure_{name} AS old {names}
    WHERE old.tb >= $1 AND old.tb < $2 AND old.v_min IS NOT NULL AND old.v_max IS NOT NULL AND old.v_count > 0
        AND (old.v_avg BETWEEN -1e290 AND 1e290 OR old.v_avg IN ('NaN', 'Infinity', '-Infinity'))
    GROUP BY 1, 2, 3, 4
)
INSERT INTO aggregates.history_{name} AS known (tenant_id, device_id, point_id, bucket, sum, min, max, count)
SELECT * FROM old ORDER BY tenant_id COLLATE "C", device_id COLLATE "C", point_id COLLATE "C", bucket
ON CONFLICT (tenant_id, device_id, point_id, bucket) DO UPDATE SET
    sum = excluded.sum, min = excluded.min, max = excluded.max, count = excluded.count
WHERE excluded.count > known.count

-- name: incomplete_measures
-- Rows that the table of this version doesn't take.
SELECT count(*) FROM v1.ts_measure
WHERE tenant_id IS NULL OR device_id IS NULL OR point_id IS NULL
    OR (ts >= '2000-01-01' AND ts < '2100-01-01') IS NOT TRUE

-- name: incomplete_acks
SELECT count(*) FROM v1.cmd_ack
WHERE tenant_id IS NULL OR device_id IS NULL OR cmd_id IS NULL OR ok IS NULL

-- name: copied_rows
SELECT coalesce(sum(rows), 0)::bigint FROM adoption.copied

-- name: report
SELECT tenant_id AS tenant, rows, stored, rows - stored - conflicts AS duplicates, conflicts
FROM adoption.copied ORDER BY tenant_id

-- name: reverse_names
SELECT count(*) FROM adoption.{table}

-- name: stored_since
SELECT count(*) FROM v2.ts_measure WHERE ts >= $1

-- name: size
-- In bytes, without chunks. Partitions may be in other schemas.
SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
WHERE relkind IN ('r', 'm') AND (
    relnamespace = to_regnamespace($1)
    OR oid IN (SELECT relid FROM pg_partition_tree(to_regclass($1 || '.ts_measure')))
)

-- name: size_of_chunks
-- In bytes, those of the aggregates too.
SELECT coalesce(sum(hypertable_size(name::regclass)), 0)::bigint
FROM (
    SELECT format('%I.%I', hypertable_schema, hypertable_name) AS name FROM timescaledb_information.hypertables
    WHERE hypertable_schema = $1
    UNION ALL
    SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)
    FROM timescaledb_information.continuous_aggregates WHERE view_schema = $1
) AS hypertable

-- name: rehearse
-- Some rows of a chunk into a table with the same key: how long that takes. Dropped at the end of the transaction.
CREATE TEMPORARY TABLE rehearsal (
    tenant_id text COLLATE "C", device_id text COLLATE "C", point_id text COLLATE "C", ts timestamptz,
    v_num double precision, v_bool boolean, v_text text, unit text, meta jsonb,
    UNIQUE (tenant_id, device_id, point_id, ts)
) ON COMMIT DROP;
INSERT INTO rehearsal
SELECT tenant_id::text, device_id::text, point_id::text, ts, v_num, v_bool, v_text, unit, meta
FROM ONLY {chunk} WHERE ctid < '({last},0)'
ORDER BY tenant_id::text COLLATE "C", device_id::text COLLATE "C", point_id::text COLLATE "C", ts
ON CONFLICT DO NOTHING

-- name: keep_relations
-- The columns that programs of the first version know.
INSERT INTO adoption.relation (name, columns)
SELECT class.relname, (
    SELECT jsonb_agg(jsonb_build_array(attname, format_type(atttypid, atttypmod)) ORDER BY attnum)
    FROM pg_attribute WHERE attrelid = class.oid AND attnum > 0 AND NOT attisdropped
)
FROM pg_class AS class WHERE class.relnamespace = to_regnamespace('v1') AND class.relname = ANY ($1)
ON CONFLICT (name) DO UPDATE SET columns = excluded.columns

-- name: old_relations
SELECT name, columns::text FROM adoption.relation ORDER BY name

-- name: keep_points
-- What a device's points were called, where they have other names now.
INSERT INTO adoption.device_point (tenant_id, device_id, point_id, old)
SELECT tenant_id, device_id, point_id, min(old_point) FROM portion WHERE old_point <> point_id
GROUP BY 1, 2, 3
ON CONFLICT DO NOTHING

-- name: create_compat
-- The old ids of each device, in columns of the old type, so that a condition on them is looked up in an index. The writer
-- adds devices: a trigger adds them here too.
CREATE SCHEMA IF NOT EXISTS compat;
CREATE TABLE IF NOT EXISTS compat.device (
    tenant_id text COLLATE "C", device_id text COLLATE "C", old_tenant_id {tenant_type}, old_device_id {device_type},
    PRIMARY KEY (tenant_id, device_id)
);
CREATE INDEX IF NOT EXISTS device_old_device_id ON compat.device (old_device_id);
CREATE OR REPLACE FUNCTION compat.as_{tenant_type}(id text) RETURNS {tenant_type} LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE WHEN '{tenant_type}' = 'text' OR id ~ '^[0-9a-fA-F]{{8}}(-[0-9a-fA-F]{{4}}){{3}}-[0-9a-fA-F]{{12}}$' THEN id::{tenant_type} END $$;
CREATE OR REPLACE FUNCTION compat.as_{device_type}(id text) RETURNS {device_type} LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE WHEN '{device_type}' = 'text' OR id ~ '^[0-9a-fA-F]{{8}}(-[0-9a-fA-F]{{4}}){{3}}-[0-9a-fA-F]{{12}}$' THEN id::{device_type} END $$;
CREATE OR REPLACE FUNCTION compat.add_device() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    old_tenant text := coalesce((SELECT min(named.old) FROM adoption.tenant AS named WHERE named.new = NEW.tenant_id), NEW.tenant_id);
BEGIN
    INSERT INTO compat.device (tenant_id, device_id, old_tenant_id, old_device_id)
    VALUES (
        NEW.tenant_id, NEW.device_id, compat.as_{tenant_type}(old_tenant),
        compat.as_{device_type}(coalesce(
            (
                SELECT min(named.old) FROM adoption.device AS named
                WHERE named.tenant = old_tenant AND named.new = NEW.device_id
            ),
            NEW.device_id
        ))
    )
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER compat_device AFTER INSERT ON public.device FOR EACH ROW EXECUTE FUNCTION compat.add_device();
INSERT INTO compat.device (tenant_id, device_id, old_tenant_id, old_device_id)
SELECT device.tenant_id, device.device_id, compat.as_{tenant_type}(coalesce(tenant.old, device.tenant_id)),
    compat.as_{device_type}(coalesce(named.old, device.device_id))
FROM public.device
LEFT JOIN (SELECT new, min(old) AS old FROM adoption.tenant GROUP BY 1) AS tenant ON tenant.new = device.tenant_id
LEFT JOIN (SELECT tenant, new, min(old) AS old FROM adoption.device GROUP BY 1, 2) AS named
    ON named.tenant = coalesce(tenant.old, device.tenant_id) AND named.new = device.device_id
ON CONFLICT (tenant_id, device_id) DO UPDATE SET old_tenant_id = excluded.old_tenant_id, old_device_id = excluded.old_device_id

-- name: create_compat_view
CREATE OR REPLACE VIEW {name} WITH (security_barrier) AS
SELECT {columns}
FROM compat.device AS device
JOIN {relation} AS one ON one.tenant_id = device.tenant_id AND one.device_id = device.device_id
LEFT JOIN adoption.device_point AS point
    ON point.tenant_id = one.tenant_id AND point.device_id = one.device_id AND point.point_id = {point}
WHERE device.tenant_id = coalesce(
    (SELECT new FROM adoption.tenant WHERE old IN (current_setting('app.tenant_id', true), {said}) LIMIT 1),
    {said}
)

-- name: create_compat_view_of_tenant
CREATE OR REPLACE VIEW {name} WITH (security_barrier) AS
SELECT {columns}
FROM {relation} AS one
LEFT JOIN LATERAL (
    SELECT coalesce((SELECT min(old) FROM adoption.tenant WHERE new = one.tenant_id), one.tenant_id) AS old_id
) AS tenant ON true
WHERE one.tenant_id = coalesce(
    (SELECT new FROM adoption.tenant WHERE old IN (current_setting('app.tenant_id', true), {said}) LIMIT 1),
    {said}
)

-- name: create_compat_triggers
-- What a program of the first version inserts is stored as the writer would store it; a role that may see one tenant may
-- insert for that one only. ACKs and dead letters come from the writer alone.
CREATE OR REPLACE FUNCTION compat.insert_measure() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    said   text := current_setting('app.tenant_id', true);
    allowed text := coalesce(
        (SELECT named.new FROM adoption.tenant AS named WHERE named.old IN (said, lower(btrim(said, '{}'))) LIMIT 1), said
    );
    tenant text := coalesce(
        (SELECT named.new FROM adoption.tenant AS named WHERE named.old = NEW.tenant_id::text), NEW.tenant_id::text
    );
    device text := coalesce(
        (
            SELECT named.new FROM adoption.device AS named
            WHERE named.tenant = NEW.tenant_id::text AND named.old = NEW.device_id::text
        ),
        NEW.device_id::text
    );
    point  text := coalesce(
        (SELECT named.new FROM adoption.point AS named WHERE named.old = NEW.point_id::text), NEW.point_id::text
    );
BEGIN
    IF NEW.tenant_id IS NULL OR NEW.device_id IS NULL OR NEW.point_id IS NULL OR NEW.ts IS NULL THEN
        RAISE not_null_violation USING MESSAGE = 'ts_measure: a row needs tenant_id, device_id, point_id and ts';
    END IF;
    IF tenant IS DISTINCT FROM allowed
        AND NOT (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = session_user)
    THEN
        RAISE insufficient_privilege USING MESSAGE = format(
            'ts_measure: a row of tenant %s, while app.tenant_id is %s', NEW.tenant_id, coalesce(said, 'not set')
        );
    END IF;
    INSERT INTO public.device (tenant_id, device_id, site_id, first_seen, last_seen)
    VALUES (tenant, device, 'unknown', NEW.ts, NEW.ts)
    ON CONFLICT DO NOTHING;
    INSERT INTO public.device_point (tenant_id, device_id, point_id, unit, first_seen)
    VALUES (tenant, device, point, NEW.unit, NEW.ts)
    ON CONFLICT DO NOTHING;
    INSERT INTO public.ts_measure (tenant_id, device_id, point_id, ts, v_num, v_bool, v_text, unit, meta)
    VALUES (
        tenant, device, point, NEW.ts, CASE WHEN NEW.v_bool IS NULL THEN NEW.v_num END, NEW.v_bool, NEW.v_text, NEW.unit,
        CASE
            WHEN coalesce(NEW.qual, 0) = 0 THEN nullif(nullif(NEW.meta, '{}'), 'null')
            WHEN jsonb_typeof(NEW.meta) = 'object' THEN NEW.meta || jsonb_build_object('qual', NEW.qual)
            ELSE jsonb_strip_nulls(jsonb_build_object('qual', NEW.qual, 'meta', nullif(NEW.meta, 'null')))
        END
    )
    ON CONFLICT DO NOTHING;
    RETURN NEW;
END
$$;
CREATE OR REPLACE FUNCTION compat.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE feature_not_supported USING
        MESSAGE = format('%I.%I takes no rows: the writer of traksense-ingest stores them', TG_TABLE_SCHEMA, TG_TABLE_NAME);
END
$$;
DO $$
DECLARE
    name text;
BEGIN
    CREATE OR REPLACE TRIGGER insert_measure INSTEAD OF INSERT ON compat.ts_measure FOR EACH ROW EXECUTE FUNCTION compat.insert_measure();
    FOREACH name IN ARRAY ARRAY['cmd_ack', 'ingest_errors'] LOOP
        IF to_regclass('compat.' || name) IS NOT NULL THEN
            EXECUTE format('CREATE OR REPLACE TRIGGER refuse INSTEAD OF INSERT ON compat.%I FOR EACH ROW EXECUTE FUNCTION compat.refuse()', name);
        END IF;
    END LOOP;
END
$$

-- name: drop_compat
DROP TRIGGER IF EXISTS compat_device ON public.device;
DROP SCHEMA compat CASCADE

-- name: roles
SELECT rolname FROM pg_roles WHERE rolname = ANY ($1) ORDER BY rolname

-- name: inserted
-- Whether a role might insert into the first version's ts_measure.
SELECT coalesce(has_table_privilege($1, to_regclass('v1.ts_measure'), 'INSERT'), false)

-- name: search_path
SELECT setting
FROM pg_db_role_setting
JOIN pg_roles ON pg_roles.oid = setrole
CROSS JOIN LATERAL unnest(setconfig) AS setting
WHERE rolname = $1 AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
    AND setting LIKE 'search\_path=%'
ORDER BY setdatabase DESC LIMIT 1
