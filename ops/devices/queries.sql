-- Every statement of `devices` and `devices set`, and of the console's pages of devices. A name in a comment line starts one;
-- ops/devices/table.py and one.py read them, and replace {selected} by that part. Selection has the values for it: $1
-- to $4.

-- name: selected
($1::text IS NULL OR tenant_id = $1)
AND ($2::text[] IS NULL OR status = ANY ($2))
AND ($3::double precision IS NULL OR abs(skew_s) >= $3)
AND ($4::text IS NULL OR strpos(lower(device_id), lower($4)) > 0)

-- name: count
SELECT status, count(*) AS devices, count(*) FILTER (WHERE abs(skew_s) >= $5) AS skewed
FROM device_status WHERE {selected} GROUP BY status

-- name: list
-- Devices with a problem first; of wrong clocks the largest error first. $5 is the error from which on a clock is wrong;
-- $6 to $8 are the place of the last row of the previous page.
WITH found AS (
    SELECT tenant_id, device_id, site_id, status, since, last_seen, last_reading, expected_interval_s, skew_s,
        CASE
            WHEN $3::double precision IS NOT NULL THEN -abs(skew_s)
            WHEN status = 'online' AND (abs(skew_s) < $5) IS NOT FALSE THEN 5
            ELSE array_position('{silent,offline,late,online}'::text[], status)
        END::double precision AS position
    FROM device_status WHERE {selected}
)
SELECT * FROM found
WHERE $6::double precision IS NULL OR (position, tenant_id, device_id) > ($6, $7::text, $8::text)
ORDER BY position, tenant_id, device_id
LIMIT $9

-- name: tenant
-- For this transaction: the tenant of the views in the schema `tenant`, and how long a statement may take, in ms.
SELECT set_config('app.tenant_id', $1, true), set_config('statement_timeout', $2, true)

-- name: device
SELECT * FROM device_status WHERE tenant_id = $1 AND device_id = $2

-- name: about
SELECT first_seen, left(meta::text, 2000) AS meta FROM tenant.device WHERE device_id = $1

-- name: latest
SELECT point_id, ts, v_num, v_bool, left(v_text, 300) AS v_text, unit
FROM tenant.latest WHERE device_id = $1 AND ($2::text IS NULL OR point_id > $2)
ORDER BY point_id LIMIT $3

-- name: has_aggregate
SELECT to_regclass('tenant.ts_measure_{name}') IS NOT NULL

-- name: end_of_day
-- The end of the step of $1 seconds that is now.
SELECT to_timestamp((floor(extract(epoch FROM now()) / $1) + 1) * $1)

-- name: day_of_aggregate
-- Of each point and step of $3 seconds of the last day the mean, or the share of true. Step 0 is the oldest one.
SELECT point_id, floor(extract(epoch FROM bucket - ($4::timestamptz - interval '24 hours')) / $3)::integer AS step,
    coalesce(sum(sum) / nullif(sum(count), 0), sum(count_true) / nullif(sum(count_bool), 0))::double precision AS value
FROM tenant.ts_measure_{name}
WHERE tenant_id = $5 AND device_id = $1 AND point_id = ANY ($2::text[])
    AND bucket >= $4::timestamptz - interval '24 hours' AND bucket < $4::timestamptz
GROUP BY 1, 2

-- name: day_of_rows
-- Of each point and step of $3 seconds of the last day the last value: a descent of the index for each step, so a point
-- that has a row each second costs no more than one that has few. Not from the view, which would read all rows of a step.
SELECT point.id AS point_id, step.number AS step, newest.value
FROM unnest($2::text[]) AS point (id)
CROSS JOIN generate_series(0, 86400 / $3 - 1) AS step (number)
CROSS JOIN LATERAL (
    SELECT coalesce(v_num, v_bool::integer)::double precision AS value FROM ts_measure
    WHERE tenant_id = $5 AND device_id = $1 AND point_id = point.id
        AND ts >= $4::timestamptz - interval '24 hours' + make_interval(secs => step.number * $3)
        AND ts < $4::timestamptz - interval '24 hours' + make_interval(secs => (step.number + 1) * $3)
    ORDER BY ts DESC LIMIT 1
) AS newest

-- name: commands
SELECT cmd_id, cmd, left(payload::text, 300) AS payload, sent_at, acknowledged_at, ok, err, ts_exec,
    extract(epoch FROM latency)::double precision AS latency_s, is_overdue
FROM tenant.command WHERE device_id = $1
ORDER BY coalesce(sent_at, acknowledged_at) DESC, cmd_id LIMIT $2

-- name: events
SELECT event_id, event_type, ts, left(data::text, 500) AS data
FROM tenant.device_event WHERE device_id = $1
ORDER BY ts DESC, created_at DESC LIMIT $2

-- name: set_interval
-- Locked in the order in which writers lock them, so that they wait for each other. NULL: any device or site; learned.
WITH chosen AS (
    SELECT tenant_id, device_id FROM public.device
    WHERE tenant_id = $1 AND ($2::text[] IS NULL OR device_id = ANY ($2)) AND ($3::text IS NULL OR site_id = $3)
    ORDER BY tenant_id, device_id
    FOR NO KEY UPDATE
)
UPDATE public.device SET expected_interval_s = $4
FROM chosen WHERE device.tenant_id = chosen.tenant_id AND device.device_id = chosen.device_id
RETURNING device.device_id
