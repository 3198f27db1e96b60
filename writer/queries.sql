-- Every statement of the writer. A name in a comment line starts one; writer/sql.py reads them.

-- name: unstored_points
SELECT unstored_points($1, $2, $3, $4, $5, $6)

-- name: create_staging
-- Where rows wait that may be there already. Dropped at the end of the transaction.
CREATE TEMPORARY TABLE staging (
    tenant_id text COLLATE "C",
    device_id text COLLATE "C",
    point_id  text COLLATE "C",
    ts        timestamptz,
    v_num     double precision,
    v_bool    boolean,
    v_text    text,
    unit      text,
    meta      jsonb
) ON COMMIT DROP

-- name: insert_staged
-- Sorted by key: two writers that store overlapping batches then wait for each other instead of deadlocking.
-- Only new rows go in.
INSERT INTO ts_measure (tenant_id, device_id, point_id, ts, v_num, v_bool, v_text, unit, meta)
SELECT tenant_id, device_id, point_id, ts, v_num, v_bool, v_text, unit, meta FROM staging
ORDER BY tenant_id, device_id, point_id, ts
ON CONFLICT DO NOTHING

-- name: upsert_acks
-- The batch has one row for each key. Its times come from the stream's entries, so that a redelivered entry
-- changes nothing.
-- An older ts_exec never overwrites a newer one; of equal ones the later repetition counts.
INSERT INTO cmd_ack AS old (tenant_id, device_id, cmd_id, ok, ts_exec, err, payload, created_at, updated_at)
SELECT tenant_id, device_id, cmd_id, ok, ts_exec, err, payload::jsonb, first_at, last_at
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::boolean[], $5::timestamptz[], $6::text[], $7::text[],
    $8::timestamptz[], $9::timestamptz[]
) AS new (tenant_id, device_id, cmd_id, ok, ts_exec, err, payload, first_at, last_at)
ON CONFLICT (tenant_id, device_id, cmd_id) DO UPDATE SET
    (ok, ts_exec, err, payload) = (
        SELECT n.ok, n.ts_exec, n.err, n.payload
        FROM (VALUES
            (excluded.ok, excluded.ts_exec, excluded.err, excluded.payload, excluded.updated_at),
            (old.ok, old.ts_exec, old.err, old.payload, old.updated_at)
        ) AS n (ok, ts_exec, err, payload, at)
        ORDER BY n.ts_exec DESC NULLS LAST, n.at DESC
        LIMIT 1
    ),
    created_at = least(old.created_at, excluded.created_at),
    updated_at = greatest(old.updated_at, excluded.updated_at)
RETURNING xmax = 0 AS is_new

-- name: insert_events
INSERT INTO device_event (tenant_id, device_id, event_id, event_type, ts, data, created_at)
SELECT tenant_id, device_id, event_id, event_type, ts, data::jsonb, created_at
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::text[], $7::timestamptz[]
) AS new (tenant_id, device_id, event_id, event_type, ts, data, created_at)
ON CONFLICT DO NOTHING

-- name: upsert_devices
-- Only devices that are new, moved, or not heard of for a while come here. A clock that was ahead for a while must not
-- make a row that no later message changes.
INSERT INTO device AS old (tenant_id, device_id, site_id, meta, first_seen, last_seen)
SELECT tenant_id, device_id, site_id, meta::jsonb, least(seen, now()), least(seen, now())
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
    AS new (tenant_id, device_id, site_id, meta, seen)
ON CONFLICT (tenant_id, device_id) DO UPDATE SET
    site_id = CASE
        WHEN excluded.last_seen < old.last_seen AND old.last_seen <= now() THEN old.site_id
        ELSE excluded.site_id
    END,
    meta = CASE
        WHEN excluded.last_seen < old.last_seen AND old.last_seen <= now() THEN coalesce(old.meta, excluded.meta)
        -- Keys are gathered over messages, but a device that makes up new ones can't grow its row for ever.
        WHEN octet_length((old.meta || excluded.meta)::text) <= 65536 THEN old.meta || excluded.meta
        ELSE coalesce(excluded.meta, old.meta)
    END,
    first_seen = least(old.first_seen, excluded.first_seen),
    last_seen = CASE WHEN old.last_seen > now() THEN excluded.last_seen
        ELSE greatest(old.last_seen, excluded.last_seen) END

-- name: waiting_transactions
-- Writers' transactions that wait for their client, and how far each has come: two equal answers, and it sent nothing
-- in between.
SELECT activity.pid, activity.state_change, coalesce(progress.bytes_processed, 0) AS copied
FROM pg_stat_activity AS activity
LEFT JOIN pg_stat_progress_copy AS progress USING (pid)
WHERE activity.datname = current_database()
    AND activity.usename = current_user
    AND activity.application_name = current_setting('application_name')
    AND activity.wait_event = 'ClientRead'
    AND activity.xact_start IS NOT NULL

-- name: end_transactions
SELECT count(pg_terminate_backend(activity.pid))
FROM unnest($1::integer[], $2::timestamptz[]) AS frozen (pid, state_change)
JOIN pg_stat_activity AS activity USING (pid, state_change)

-- name: insert_dead_letters
INSERT INTO ingest_errors (
    tenant_id, topic, payload, payload_raw, reason, error_class, sqlstate, stream, entry_id, deliveries
)
SELECT * FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::integer[]
)
ON CONFLICT (stream, entry_id) DO NOTHING
RETURNING error_class

-- name: others_with_their_ids
SELECT letter.number
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[])
    WITH ORDINALITY AS letter (stream, entry_id, topic, payload, payload_raw, number)
JOIN ingest_errors AS stored USING (stream, entry_id)
WHERE (stored.topic, stored.payload, stored.payload_raw)
    IS DISTINCT FROM (letter.topic, letter.payload, letter.payload_raw)
