-- Every statement of `devices` and `devices set`. A name in a comment line starts one; ops/devices/table.py reads them, and
-- replaces {selected} by that part. Selection has the values for it: $1 to $3.

-- name: selected
($1::text IS NULL OR tenant_id = $1)
AND ($2::text[] IS NULL OR status = ANY ($2))
AND ($3::double precision IS NULL OR abs(skew_s) >= $3)

-- name: count
SELECT status, count(*) AS devices FROM device_status WHERE {selected} GROUP BY status

-- name: list
-- The devices that somebody may have to do something about first; of wrong clocks the one that is furthest off.
SELECT tenant_id, device_id, site_id, status, since, last_seen, last_reading, expected_interval_s, skew_s
FROM device_status WHERE {selected}
ORDER BY CASE WHEN $3 IS NOT NULL THEN abs(skew_s) END DESC,
    array_position('{silent,offline,late,online}'::text[], status), tenant_id, device_id
LIMIT $4

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
