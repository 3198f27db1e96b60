-- Every statement of the writer. A name in a comment line starts one; writer/store/sql.py reads them.

-- name: unstored_points
SELECT unstored_points($1, $2, $3, $4, $5, $6)

-- name: insert_new
-- A few rows that are probably there, or that another lane is storing: waits for its end. Sorted as below.
INSERT INTO ts_measure (tenant_id, device_id, point_id, ts, v_num, v_bool, v_text, unit, meta)
SELECT tenant_id, device_id, point_id, ts, v_num, v_bool, v_text, unit, meta::jsonb
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::double precision[], $6::boolean[], $7::text[],
    $8::text[], $9::text[]
) AS new (tenant_id, device_id, point_id, ts, v_num, v_bool, v_text, unit, meta)
ORDER BY tenant_id, device_id, point_id, ts
ON CONFLICT DO NOTHING

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

-- name: insert_retained_acks
-- What a broker has kept may be the only copy of an ACK, or older than the one that is there.
INSERT INTO cmd_ack (tenant_id, device_id, cmd_id, ok, ts_exec, err, payload, created_at, updated_at)
SELECT tenant_id, device_id, cmd_id, ok, ts_exec, err, payload::jsonb, at, at
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::boolean[], $5::timestamptz[], $6::text[], $7::text[], $8::timestamptz[]
) AS new (tenant_id, device_id, cmd_id, ok, ts_exec, err, payload, at)
ON CONFLICT DO NOTHING

-- name: missing_acks
-- How many have no row, though they were stored or were there: a trigger keeps them out.
SELECT count(*)
FROM unnest($1::text[], $2::text[], $3::text[]) AS sent (tenant_id, device_id, cmd_id)
WHERE NOT EXISTS (
    SELECT FROM cmd_ack AS stored
    WHERE (stored.tenant_id, stored.device_id, stored.cmd_id) = (sent.tenant_id, sent.device_id, sent.cmd_id)
)

-- name: upsert_commands
-- The batch has one row for each key. The sending that was appended first counts, whichever is committed first.
INSERT INTO command AS old (tenant_id, device_id, cmd_id, sent_at, cmd, payload, created_at)
SELECT tenant_id, device_id, cmd_id, sent_at, cmd, payload::jsonb, at
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::timestamptz[]
) AS new (tenant_id, device_id, cmd_id, sent_at, cmd, payload, at)
ON CONFLICT (tenant_id, device_id, cmd_id) DO UPDATE SET
    sent_at = excluded.sent_at, cmd = excluded.cmd, payload = excluded.payload, created_at = excluded.created_at
WHERE excluded.created_at < old.created_at
RETURNING xmax = 0 AS is_new

-- name: missing_commands
SELECT count(*)
FROM unnest($1::text[], $2::text[], $3::text[]) AS sent (tenant_id, device_id, cmd_id)
WHERE NOT EXISTS (
    SELECT FROM command AS stored
    WHERE (stored.tenant_id, stored.device_id, stored.cmd_id) = (sent.tenant_id, sent.device_id, sent.cmd_id)
)

-- name: overdue_commands
-- Of $1, a time that ends now: older ones would be counted for ever, and cost more each day.
SELECT count(*)
FROM command AS sent
WHERE sent.sent_at > now() - ack_timeout() - $1::interval AND sent.sent_at <= now() - ack_timeout()
    AND NOT EXISTS (
        SELECT FROM cmd_ack AS ack
        WHERE (ack.tenant_id, ack.device_id, ack.cmd_id) = (sent.tenant_id, sent.device_id, sent.cmd_id)
    )

-- name: insert_events
INSERT INTO device_event (tenant_id, device_id, event_id, event_type, ts, data, created_at)
SELECT tenant_id, device_id, event_id, event_type, ts, data::jsonb, created_at
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::text[], $7::timestamptz[], $8::boolean[]
) AS new (tenant_id, device_id, event_id, event_type, ts, data, created_at, is_replay)
WHERE CASE WHEN is_replay THEN NOT has_state(tenant_id, device_id, data::jsonb) ELSE true END
ON CONFLICT DO NOTHING

-- name: missing_events
SELECT missing_events($1, $2, $3)

-- name: upsert_devices
-- Only devices that are new, moved, or not heard of for a while come here. A clock that was ahead for a while must not
-- make a row that no later message changes.
--
-- interval_gaps of a new row is how many messages this writer has counted since it wrote the last one. So the interval
-- is right with any number of writers: each adds its messages and the time since any of them has written the row. The
-- mean of all before counts as that of 8 messages at most, and a silence as 8 intervals, or 4 for each message.
--
-- A late batch, which has old readings, can only raise the delay, and a clock that is wrong delays all messages: so the
-- skew is the least delay of the present quarter of an hour and of the one before.
INSERT INTO device AS old (
    tenant_id, device_id, site_id, meta, first_seen, last_seen, online_since, last_reading, skew_s, skew_next_s,
    skew_since, interval_gaps
)
SELECT tenant_id, device_id, site_id, meta::jsonb, least(seen, now()), least(seen, now()), least(seen, now()),
    reading, delay_s, delay_s, CASE WHEN delay_s IS NOT NULL THEN least(seen, now()) END, messages
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::real[], $8::integer[]
) AS new (tenant_id, device_id, site_id, meta, seen, reading, delay_s, messages)
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
        ELSE greatest(old.last_seen, excluded.last_seen) END,
    -- As device_status decides that a device is late.
    online_since = CASE
        WHEN excluded.last_seen > old.last_seen
            + make_interval(secs => 60 + 2 * coalesce(old.expected_interval_s, old.interval_s, 3600))
        THEN excluded.last_seen
        ELSE coalesce(old.online_since, old.last_seen)
    END,
    last_reading = greatest(old.last_reading, excluded.last_reading),
    (interval_s, interval_gaps) = (
        SELECT
            CASE
                WHEN messages <= 0 OR elapsed <= 0 THEN old.interval_s
                WHEN old.interval_s IS NULL THEN elapsed / messages
                ELSE (gaps * old.interval_s + least(elapsed, old.interval_s * greatest(8, 4 * messages)))
                    / (gaps + messages)
            END,
            CASE WHEN messages <= 0 OR elapsed <= 0 THEN old.interval_gaps ELSE least(8, gaps + messages) END
        FROM (
            SELECT coalesce(excluded.interval_gaps, 0) AS messages,
                CASE WHEN old.interval_s IS NULL THEN 0 ELSE coalesce(old.interval_gaps, 0) END AS gaps,
                extract(epoch FROM excluded.last_seen - old.last_seen)::double precision AS elapsed
        ) AS heard
    ),
    (skew_s, skew_next_s, skew_since) = (
        SELECT
            CASE
                WHEN delay IS NULL THEN old.skew_s
                WHEN is_over THEN least(old.skew_next_s, delay)
                ELSE least(old.skew_s, delay)
            END,
            CASE
                WHEN delay IS NULL THEN old.skew_next_s
                WHEN is_over THEN delay
                ELSE least(old.skew_next_s, delay)
            END,
            CASE WHEN delay IS NOT NULL AND is_over THEN excluded.last_seen ELSE old.skew_since END
        FROM (
            SELECT excluded.skew_s AS delay,
                old.skew_since IS NULL
                    OR excluded.last_seen NOT BETWEEN old.skew_since - interval '15 min'
                        AND old.skew_since + interval '15 min' AS is_over
        ) AS clock
    )

-- name: insert_retained_devices
-- A retained message says nothing new of a device that is known. One that isn't was there when it sent the message.
INSERT INTO device (tenant_id, device_id, site_id, meta, first_seen, last_seen)
SELECT tenant_id, device_id, site_id, meta::jsonb, least(seen, now()), least(seen, now())
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
    AS new (tenant_id, device_id, site_id, meta, seen)
ON CONFLICT DO NOTHING

-- name: upsert_points
-- Only points that are new to this process come here, and those of a device once an hour. A device's points are one array,
-- as text: most devices of a batch have the same ones.
INSERT INTO device_point AS old (tenant_id, device_id, point_id, unit, first_seen)
SELECT tenant_id, device_id, point_id, unit, least(ts, now())
FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::text[])
    AS new (tenant_id, device_id, ts, point_ids, units)
CROSS JOIN LATERAL unnest(point_ids::text[], units::text[]) AS point (point_id, unit)
ON CONFLICT (tenant_id, device_id, point_id) DO UPDATE SET unit = excluded.unit
WHERE old.unit IS DISTINCT FROM excluded.unit

-- name: insert_past_points
-- A retained or replayed message may be the only one of its points, and says nothing new of one that is known.
INSERT INTO device_point (tenant_id, device_id, point_id, unit, first_seen)
SELECT tenant_id, device_id, point_id, unit, least(ts, now())
FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::text[])
    AS new (tenant_id, device_id, ts, point_ids, units)
CROSS JOIN LATERAL unnest(point_ids::text[], units::text[]) AS point (point_id, unit)
ON CONFLICT DO NOTHING

-- name: waiting_transactions
-- Writers' transactions that wait for their client, and how far each has come: two equal answers, and it sent nothing
-- in between. A pooler may put the client's address behind the name.
SELECT activity.pid, activity.state_change, coalesce(progress.bytes_processed, 0) AS copied
FROM pg_stat_activity AS activity
LEFT JOIN pg_stat_progress_copy AS progress USING (pid)
WHERE activity.datname = current_database()
    AND activity.usename = current_user
    AND activity.application_name LIKE 'traksense-writer%'
    AND activity.wait_event = 'ClientRead'
    AND activity.xact_start IS NOT NULL

-- name: end_transactions
SELECT count(pg_terminate_backend(activity.pid))
FROM unnest($1::integer[], $2::timestamptz[]) AS frozen (pid, state_change)
JOIN pg_stat_activity AS activity USING (pid, state_change)

-- name: wait_for_standbys
-- Only a COMMIT that has written something waits for a synchronous standby. What a batch finds in the tables may be on the
-- primary alone, since a COMMIT that waited for the standby timed out: with this it waits until the standby has that too.
-- Where an ACK or a device was updated it adds nothing.
SELECT pg_logical_emit_message(true, 'traksense_ingest', '')

-- name: lock_dead_letters
-- Before anything else of a transaction with dead letters, so that nobody waits for it in a circle: alone where one of
-- them is retained, which must see those that others are storing at this moment.
SELECT CASE WHEN $1::boolean THEN pg_advisory_xact_lock(1684365665) ELSE pg_advisory_xact_lock_shared(1684365665) END

-- name: insert_dead_letters
-- A retained message comes again at each subscription: not where any dead letter has the same bytes. And where a lane
-- was faster with the replay than another one with the message itself, which is before it in the stream, the replay's
-- dead letter serves for both.
INSERT INTO ingest_errors (
    tenant_id, topic, payload, payload_raw, reason, error_class, sqlstate, stream, entry_id, deliveries, received_at
)
SELECT * FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::integer[], $11::timestamptz[]
) AS letter (
    tenant_id, topic, payload, payload_raw, reason, error_class, sqlstate, stream, entry_id, deliveries, received_at
)
WHERE CASE
    WHEN starts_with(letter.entry_id, 'retained:') THEN NOT EXISTS (
        SELECT FROM ingest_errors AS stored
        WHERE hashtextextended(stored.payload, hashtextextended(stored.topic, 0))
            = hashtextextended(letter.payload, hashtextextended(letter.topic, 0))
            AND (stored.topic, stored.payload) = (letter.topic, letter.payload)
            AND stored.payload_raw IS NOT DISTINCT FROM letter.payload_raw
    )
    WHEN starts_with(letter.entry_id, 'import:') THEN true
    ELSE NOT EXISTS (
        SELECT FROM ingest_errors AS replay
        WHERE hashtextextended(replay.payload, hashtextextended(replay.topic, 0))
            = hashtextextended(letter.payload, hashtextextended(letter.topic, 0))
            AND starts_with(replay.entry_id, 'retained:')
            AND replay.replayed_at IS NULL
            AND (replay.stream, replay.topic, replay.payload) = (letter.stream, letter.topic, letter.payload)
            AND replay.payload_raw IS NOT DISTINCT FROM letter.payload_raw
            AND CASE WHEN starts_with(replay.entry_id, 'retained:') THEN
                string_to_array(substr(replay.entry_id, 10), '-')::numeric[]
                    > string_to_array(split_part(letter.entry_id, '#', 1), '-')::numeric[]
            END
    )
END
ON CONFLICT (stream, entry_id) DO NOTHING
RETURNING error_class

-- name: others_with_their_ids
SELECT letter.number
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[])
    WITH ORDINALITY AS letter (stream, entry_id, topic, payload, payload_raw, number)
JOIN ingest_errors AS stored USING (stream, entry_id)
WHERE (stored.topic, stored.payload, stored.payload_raw)
    IS DISTINCT FROM (letter.topic, letter.payload, letter.payload_raw)

-- name: missing_dead_letters
-- Of a message and its retained replay one letter is there, under the id of either.
SELECT count(*)
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[])
    AS letter (stream, entry_id, topic, payload, payload_raw)
WHERE NOT EXISTS (
    SELECT FROM ingest_errors AS stored
    WHERE (stored.stream, stored.entry_id) = (letter.stream, letter.entry_id)
) AND NOT EXISTS (
    SELECT FROM ingest_errors AS stored
    WHERE hashtextextended(stored.payload, hashtextextended(stored.topic, 0))
        = hashtextextended(letter.payload, hashtextextended(letter.topic, 0))
        AND (stored.topic, stored.payload) = (letter.topic, letter.payload)
        AND stored.payload_raw IS NOT DISTINCT FROM letter.payload_raw
        AND (starts_with(letter.entry_id, 'retained:') OR starts_with(stored.entry_id, 'retained:'))
)

-- name: known_devices
-- Any will do.
SELECT tenant_id, device_id, site_id FROM device LIMIT $1

-- name: upsert_births
-- A BIRTH that is redelivered, or replayed, never replaces a later one.
INSERT INTO sparkplug_birth AS old (tenant_id, device_key, born_at, aliases)
SELECT tenant_id, device_key, born_at, aliases::jsonb
FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[]) AS new (tenant_id, device_key, born_at, aliases)
ON CONFLICT (tenant_id, device_key) DO UPDATE SET born_at = excluded.born_at, aliases = excluded.aliases
WHERE old.born_at <= excluded.born_at

-- name: births
-- A topic is of one tenant; where another mapping has given it to another one, the later BIRTH counts. $1 is of
-- `integrity.fetch`.
SELECT device_key, birth.born_at, aliases::text
FROM sparkplug_birth AS birth
JOIN unnest($2::text[], $3::timestamptz[]) AS used (device_key, born_at) USING (device_key)
WHERE used.born_at IS NULL OR birth.born_at > used.born_at

-- name: count_devices
-- By tenant and status, of the $1 tenants with the most devices; the others together, as `other`.
SELECT CASE WHEN place <= $1 THEN tenant_id ELSE 'other' END AS tenant, status, sum(devices)::bigint AS devices
FROM (
    SELECT tenant_id, status, devices, dense_rank() OVER (ORDER BY of_tenant DESC, tenant_id) AS place
    FROM (
        SELECT tenant_id, status, count(*) AS devices, sum(count(*)) OVER (PARTITION BY tenant_id) AS of_tenant
        FROM device_status GROUP BY tenant_id, status
    ) AS counted
) AS placed
GROUP BY 1, 2
