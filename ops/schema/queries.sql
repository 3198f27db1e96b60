-- Every statement of `migrate` that depends on variables. A name in a comment line starts one; ops/schema/sql.py reads
-- them, and ops/schema/aggregates.py and policies.py fill what is in braces.
--
-- Names as TimescaleDB has them from 2.18 on (columnstore for what was compression).

-- name: edition
SELECT extversion AS version, current_setting('timescaledb.license', true) AS license
FROM pg_extension WHERE extname = 'timescaledb'

-- name: is_first_version
-- Its ts_measure has a column that ours never had.
SELECT EXISTS (
    SELECT FROM pg_attribute
    WHERE attrelid = to_regclass('public.ts_measure') AND attname = 'qual' AND NOT attisdropped
)

-- name: is_adopting
-- Rows of the first version are still to be copied (ops/adopt).
SELECT status = 'copying' FROM adoption.state

-- name: has_adoption
SELECT to_regclass('adoption.state') IS NOT NULL

-- name: is_hypertable
SELECT EXISTS (
    SELECT FROM timescaledb_information.hypertables
    WHERE hypertable_schema = 'public' AND hypertable_name = 'ts_measure'
)

-- name: job
-- The job of a procedure, on $3 or on no table, with what $2 names in its configuration. Another schema may have tables
-- and procedures of the same names; TimescaleDB's own have been in several of its schemas.
SELECT job_id, (config ->> $2)::interval AS age
FROM timescaledb_information.jobs
WHERE proc_name = $1 AND (proc_schema = 'public' OR proc_schema LIKE '\_timescaledb\_%')
    AND hypertable_schema IS NOT DISTINCT FROM CASE WHEN $3::text IS NOT NULL THEN 'public' END
    AND hypertable_name IS NOT DISTINCT FROM $3::text
ORDER BY job_id LIMIT 1

-- name: add_retention
-- Its first run is in an hour: a refresh that is running still has the window of before, and would take what is
-- dropped meanwhile out of the aggregate as well.
SELECT add_retention_policy(
    'public.ts_measure', drop_after => make_interval(days => $1), initial_start => now() + INTERVAL '1 hour'
)

-- name: remove_retention
SELECT remove_retention_policy('public.ts_measure')

-- name: add_dlq_job
SELECT add_job(
    'public.purge_dead_letters', INTERVAL '1 day',
    config => jsonb_build_object('older_than', make_interval(days => $1)::text)
)

-- name: remove_job
SELECT delete_job($1)

-- name: columnstore
SELECT compression_enabled AS is_enabled, (
    SELECT count(*) FROM timescaledb_information.chunks
    WHERE hypertable_schema = 'public' AND hypertable_name = 'ts_measure' AND is_compressed
) AS chunks
FROM timescaledb_information.hypertables
WHERE hypertable_schema = 'public' AND hypertable_name = 'ts_measure'

-- name: enable_columnstore
-- A segment for each point: a query for one reads nothing else, and a late row is compared with its own segment's
-- rows alone. Of a million simulated rows with ts only in orderby this was the smallest, and the fastest to write to.
ALTER TABLE public.ts_measure SET (
    timescaledb.enable_columnstore,
    timescaledb.segmentby = 'tenant_id, device_id, point_id',
    timescaledb.orderby = 'ts'
)

-- name: disable_columnstore
ALTER TABLE public.ts_measure SET (timescaledb.enable_columnstore = false)

-- name: add_columnstore_policy
CALL add_columnstore_policy('public.ts_measure', after => make_interval(days => {days}))

-- name: remove_columnstore_policy
CALL remove_columnstore_policy('public.ts_measure')

-- name: decompress
SELECT decompress_chunk(chunk) FROM show_chunks('public.ts_measure') AS chunk

-- name: disable_row_security
ALTER TABLE public.ts_measure DISABLE ROW LEVEL SECURITY

-- name: enable_row_security
ALTER TABLE public.ts_measure ENABLE ROW LEVEL SECURITY

-- name: aggregates
SELECT
    substr(aggregate.view_name, length('ts_measure_') + 1) AS name,
    substr(source.view_name, length('ts_measure_') + 1) AS source,
    job.job_id IS NOT NULL AS is_refreshed,
    (job.config ->> 'start_offset')::interval AS start,
    pg_size_pretty(hypertable_size(format('%I.%I', aggregate.view_schema, aggregate.view_name)::regclass)) AS size
FROM timescaledb_information.continuous_aggregates AS aggregate
LEFT JOIN timescaledb_information.continuous_aggregates AS source
    ON source.materialization_hypertable_schema = aggregate.hypertable_schema
    AND source.materialization_hypertable_name = aggregate.hypertable_name
LEFT JOIN timescaledb_information.jobs AS job
    ON job.hypertable_schema = aggregate.view_schema AND job.hypertable_name = aggregate.view_name
    AND job.proc_name = 'policy_refresh_continuous_aggregate'
WHERE aggregate.view_schema = 'aggregates' AND aggregate.view_name LIKE 'ts\_measure\_%'

-- name: ack_timeout
SELECT extract(epoch FROM public.ack_timeout())::bigint

-- name: set_ack_timeout
CREATE OR REPLACE FUNCTION public.ack_timeout() RETURNS interval LANGUAGE sql STABLE PARALLEL SAFE
AS 'SELECT make_interval(secs => {seconds})'

-- name: create_schema
-- Of their own, without USAGE for others: GRANT SELECT ON ALL TABLES IN SCHEMA public must not reach them, since
-- they have no row level security.
CREATE SCHEMA IF NOT EXISTS aggregates

-- name: create_from_rows
-- A reading beyond ±1e290 is left out: the sum of two of 1e308 is an error, and one device could stop the refresh of
-- all. The condition leaves out texts as well.
CREATE MATERIALIZED VIEW aggregates.ts_measure_{name}
WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false) AS
SELECT tenant_id, device_id, point_id, time_bucket('{bucket}', ts) AS bucket,
    sum(v_num) AS sum, min(v_num) AS min, max(v_num) AS max, count(v_num) AS count,
    count(*) FILTER (WHERE v_bool) AS count_true, count(v_bool) AS count_bool
FROM public.ts_measure
WHERE v_num BETWEEN -1e290 AND 1e290 OR v_bool IS NOT NULL
GROUP BY 1, 2, 3, 4
WITH NO DATA

-- name: create_from_aggregate
CREATE MATERIALIZED VIEW aggregates.ts_measure_{name}
WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false) AS
SELECT tenant_id, device_id, point_id, time_bucket('{bucket}', bucket) AS bucket,
    sum(sum) AS sum, min(min) AS min, max(max) AS max, sum(count)::bigint AS count{booleans}
FROM aggregates.ts_measure_{source}
GROUP BY 1, 2, 3, 4
WITH NO DATA

-- name: booleans
,
    sum(count_true)::bigint AS count_true, sum(count_bool)::bigint AS count_bool

-- name: has_booleans
-- False of an aggregate that a version before them has made.
SELECT EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = to_regclass('aggregates.ts_measure_{name}') AND attname = 'count_bool'
)

-- name: view_has_booleans
SELECT EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = to_regclass('tenant.ts_measure_{name}') AND attname = 'on_ratio'
)

-- name: create_index
CREATE INDEX ON aggregates.ts_measure_{name} (tenant_id, device_id, point_id, bucket)

-- name: has_history
-- Of the time before the rows: what an aggregate of the first version had (ops/adopt).
SELECT to_regclass('aggregates.history_{name}') IS NOT NULL

-- name: create_complete
-- Of two buckets of one point and time the one of more readings counts: the rows of the other one are gone, or not yet
-- aggregated. Of the time since the adoption there is no history.
CREATE OR REPLACE VIEW aggregates.complete_{name} AS
SELECT tenant_id, device_id, point_id, bucket, sum, min, max, count, {count_true} AS count_true, {count_bool} AS count_bool
FROM aggregates.ts_measure_{name} AS one
WHERE bucket >= '{adopted_at}'::timestamptz OR NOT EXISTS (
    SELECT FROM aggregates.history_{name} AS history
    WHERE history.tenant_id = one.tenant_id AND history.device_id = one.device_id
        AND history.point_id = one.point_id AND history.bucket = one.bucket AND history.count > one.count + coalesce({count_bool}, 0)
)
UNION ALL
SELECT tenant_id, device_id, point_id, bucket, sum, min, max, count, NULL, NULL FROM aggregates.history_{name} AS history
WHERE bucket < '{adopted_at}'::timestamptz AND NOT EXISTS (
    SELECT FROM aggregates.ts_measure_{name} AS one
    WHERE one.tenant_id = history.tenant_id AND one.device_id = history.device_id
        AND one.point_id = history.point_id AND one.bucket = history.bucket
        AND one.count + coalesce({count_bool}, 0) >= history.count
        AND one.bucket < '{adopted_at}'::timestamptz
)

-- name: create_complete_of_history
CREATE OR REPLACE VIEW aggregates.complete_{name} AS
SELECT tenant_id, device_id, point_id, bucket, sum, min, max, count, NULL::bigint AS count_true, NULL::bigint AS count_bool
FROM aggregates.history_{name}

-- name: adopted_at
SELECT begun_at FROM adoption.state

-- name: create_view
CREATE OR REPLACE VIEW tenant.ts_measure_{name} WITH (security_barrier) AS
SELECT tenant_id, device_id, point_id, bucket, sum / nullif(count, 0) AS avg, min, max, sum, count,
    {count_true} AS count_true, {count_bool} AS count_bool,
    {count_true}::double precision / nullif({count_bool}, 0) AS on_ratio
FROM aggregates.{source}
WHERE tenant_id = current_setting('app.tenant_id', true)

-- name: has_reader
SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'traksense_reader')

-- name: grant
GRANT SELECT ON tenant.ts_measure_{name} TO traksense_reader

-- name: drop_view
DROP VIEW IF EXISTS tenant.ts_measure_{name}

-- name: drop
DROP MATERIALIZED VIEW aggregates.ts_measure_{name}

-- name: add_refresh
SELECT add_continuous_aggregate_policy(
    'aggregates.ts_measure_{name}',
    start_offset => $1::interval, end_offset => INTERVAL '{bucket}', schedule_interval => INTERVAL '{bucket}'
)

-- name: remove_refresh
SELECT remove_continuous_aggregate_policy('aggregates.ts_measure_{name}')

-- name: who_reads_all
-- Roles that row level security is meant for, and what they may read or change of all tenants: ts_measure where row
-- level security is off, the aggregates, and what TimescaleDB keeps of these in a schema that is open to everybody.
-- traksense_viewer and its members may: they read all tenants with it too.
WITH unfiltered AS (
    SELECT 'public.ts_measure'::regclass AS relation
    UNION ALL
    SELECT format('%I.%I', view_schema, view_name)::regclass
    FROM timescaledb_information.continuous_aggregates WHERE view_schema = 'aggregates'
    UNION ALL
    SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)::regclass
    FROM timescaledb_information.continuous_aggregates WHERE view_schema = 'aggregates'
)
SELECT DISTINCT rolname AS role
FROM unfiltered
JOIN pg_class ON pg_class.oid = unfiltered.relation AND NOT relrowsecurity
CROSS JOIN pg_roles
WHERE NOT rolsuper AND NOT rolbypassrls AND rolname !~ '^pg_'
    AND NOT pg_has_role(pg_roles.oid, relowner, 'USAGE')
    AND NOT EXISTS (
        SELECT FROM pg_roles AS viewer
        WHERE viewer.rolname = 'traksense_viewer' AND pg_has_role(pg_roles.oid, viewer.oid, 'USAGE')
    )
    AND has_schema_privilege(pg_roles.oid, relnamespace, 'USAGE')
    AND (
        has_any_column_privilege(pg_roles.oid, pg_class.oid, 'SELECT, UPDATE')
        OR has_table_privilege(pg_roles.oid, pg_class.oid, 'DELETE')
    )
ORDER BY rolname

-- name: root_blocks
SELECT pg_relation_size('public.ts_measure') / current_setting('block_size')::bigint

-- name: show_hidden
-- For this transaction: what is read and deleted of ts_measure is what is in its root table.
SET LOCAL timescaledb.restoring = on

-- name: hide_hidden
SET LOCAL timescaledb.restoring = off

-- name: create_recovered
CREATE TEMPORARY TABLE recovered (LIKE public.ts_measure) ON COMMIT DROP

-- name: take_hidden
-- Of some blocks of the root table: from its beginning each time, thousands of deleted rows would be passed over.
WITH taken AS (
    DELETE FROM ONLY public.ts_measure WHERE ctid >= '({first},0)' AND ctid < '({last},0)' RETURNING *
)
INSERT INTO recovered SELECT * FROM taken

-- name: store_recovered
-- As a writer does; existing rows stay as they are.
INSERT INTO public.ts_measure SELECT * FROM recovered
ORDER BY tenant_id, device_id, point_id, ts
ON CONFLICT DO NOTHING

-- name: has_earlier_points
SELECT has_earlier_points FROM schema_migrations WHERE version = 14

-- name: note_earlier_points
UPDATE schema_migrations SET has_earlier_points = true WHERE version = 14

-- name: chunks
SELECT format('%I.%I', chunk_schema, chunk_name) AS name
FROM timescaledb_information.chunks
WHERE hypertable_schema = 'public' AND hypertable_name = 'ts_measure'
ORDER BY range_start

-- name: is_there
SELECT to_regclass($1) IS NOT NULL

-- name: hold_chunk
-- From now on a job that compresses it can't finish, and what is_compressed says holds until the end of the transaction.
LOCK TABLE {name} IN ACCESS SHARE MODE

-- name: is_compressed
SELECT is_compressed FROM timescaledb_information.chunks WHERE format('%I.%I', chunk_schema, chunk_name) = $1

-- name: points_of_rows
-- The $4 points that follow a key, with their first row: one descent of the unique index for each.
WITH RECURSIVE found AS (
    (
        SELECT tenant_id, device_id, point_id, ts, unit FROM {name}
        WHERE (tenant_id, device_id, point_id) > ($1, $2, $3)
        ORDER BY tenant_id, device_id, point_id, ts LIMIT 1
    )
    UNION ALL
    SELECT next.* FROM found CROSS JOIN LATERAL (
        SELECT tenant_id, device_id, point_id, ts, unit FROM {name} AS measure
        WHERE (measure.tenant_id, measure.device_id, measure.point_id)
            > (found.tenant_id, found.device_id, found.point_id)
        ORDER BY measure.tenant_id, measure.device_id, measure.point_id, measure.ts LIMIT 1
    ) AS next
)
SELECT * FROM found LIMIT $4::integer

-- name: points_of_segments
-- Of a compressed chunk, in which a descent would read all segments that follow: ten million rows a second.
SELECT tenant_id, device_id, point_id, min(ts) AS ts, min(unit) AS unit FROM {name} GROUP BY 1, 2, 3

-- name: add_points
-- Sorted by key, as writers do it. Where a writer was faster, its unit is the newer one.
WITH portion AS ({points}), added AS (
    INSERT INTO public.device_point AS known (tenant_id, device_id, point_id, unit, first_seen)
    SELECT tenant_id, device_id, point_id, unit, least(ts, now()) FROM portion
    WHERE NOT EXISTS (
        SELECT FROM public.device_point AS known
        WHERE known.tenant_id = portion.tenant_id
            AND known.device_id = portion.device_id
            AND known.point_id = portion.point_id
            AND known.first_seen <= portion.ts
    )
    ORDER BY tenant_id, device_id, point_id
    ON CONFLICT (tenant_id, device_id, point_id) DO UPDATE
        SET first_seen = least(known.first_seen, excluded.first_seen)
    RETURNING xmax = 0 AS is_new
)
SELECT count(*) AS found, (SELECT count(*) FROM added WHERE is_new) AS new, (
    SELECT ARRAY[tenant_id, device_id, point_id] FROM portion
    ORDER BY tenant_id DESC, device_id DESC, point_id DESC LIMIT 1
) AS last
FROM portion
