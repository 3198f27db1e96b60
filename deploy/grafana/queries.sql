-- The queries of the dashboard of devices, as a reader of one tenant: deploy/postgres/reader.sql creates its role.
-- The names have no schema: search_path of the role has the schema of its views. Grafana replaces variables and macros,
-- in comments too: a variable by its chosen values, each quoted, so an array of them is correct without any as well.

-- name: devices
SELECT device_id FROM device ORDER BY device_id

-- name: points
SELECT DISTINCT point_id FROM device_point WHERE device_id = ANY (ARRAY[$device]::text[]) ORDER BY point_id

-- The coarsest aggregate that still gives a few hundred buckets, of those that exist. Rows are read for a short range, or
-- without aggregates; unless there are none in the range, because retention has dropped them.
-- name: source
SELECT source.name
FROM (VALUES
    ('readings', interval '0'), ('ts_measure_1m', '6 hours'), ('ts_measure_5m', '2 days'), ('ts_measure_1h', '14 days')
) AS source (name, range)
CROSS JOIN (
    SELECT $__timeTo()::timestamptz - $__timeFrom()::timestamptz AS range, EXISTS (
        SELECT FROM device_point AS point
        CROSS JOIN LATERAL (
            SELECT FROM ts_measure AS measure
            WHERE measure.device_id = point.device_id AND measure.point_id = point.point_id AND $__timeFilter(measure.ts)
            LIMIT 1
        ) AS one
        WHERE point.device_id = ANY (ARRAY[$device]::text[])
    ) AS has_rows
) AS shown
WHERE source.name = 'readings' OR to_regclass(source.name) IS NOT NULL
ORDER BY source.name = 'readings' AND NOT shown.has_rows, source.range <= shown.range DESC,
    CASE WHEN source.range <= shown.range THEN -source.range ELSE source.range END
LIMIT 1

-- name: statuses
SELECT count(*) FILTER (WHERE status = 'offline') AS offline, count(*) FILTER (WHERE status = 'silent') AS silent,
    count(*) FILTER (WHERE status = 'late') AS late, count(*) FILTER (WHERE status = 'online') AS online,
    count(*) FILTER (WHERE abs(skew_s) > 60) AS "clock is wrong"
FROM device_status

-- name: device_list
SELECT device_id AS device, site_id AS site, status, since, last_seen AS "last seen", expected_interval_s AS interval,
    skew_s AS clock
FROM device_status
ORDER BY array_position(ARRAY['offline', 'silent', 'late', 'online'], status), abs(skew_s) > 60 DESC NULLS LAST,
    since, device_id
LIMIT 1000

-- name: latest
SELECT device_id AS device, point_id AS point,
    coalesce(v_text, CASE WHEN v_bool THEN 'on' WHEN NOT v_bool THEN 'off' END, v_num::text, 'no reading') AS value, unit,
    extract(epoch FROM now() - ts)::float AS age
FROM latest
WHERE device_id = ANY (ARRAY[$device]::text[])
ORDER BY device_id, point_id

-- The mean of each interval of the graph. Numbers beyond 1e290 are left out, as in the aggregates.
-- name: numbers
WITH readings AS (
    SELECT device_id, point_id, ts AS bucket, v_num AS sum, 1 AS count FROM ts_measure
    WHERE v_num BETWEEN -1e290 AND 1e290
)
SELECT shown.time, concat(device_id, ' ', point_id, ' ' || point.unit) AS metric, shown.mean AS value
FROM (
    SELECT device_id, point_id, date_bin('$__interval_ms ms', bucket, 'epoch') AS time, sum(sum) / sum(count) AS mean
    FROM $source
    WHERE device_id = ANY (ARRAY[$device]::text[]) AND point_id = ANY (ARRAY[$point]::text[])
        AND $__timeFilter(bucket) AND count > 0
    GROUP BY device_id, point_id, time
) AS shown
LEFT JOIN (
    SELECT device_id, point_id, unit FROM device_point WHERE device_id = ANY (ARRAY[$device]::text[])
) AS point USING (device_id, point_id)
ORDER BY shown.time

-- The share of readings that are true.
-- name: ratios
WITH readings AS (
    SELECT device_id, point_id, ts AS bucket, v_bool::integer AS count_true, 1 AS count_bool FROM ts_measure
    WHERE v_bool IS NOT NULL
)
SELECT date_bin('$__interval_ms ms', bucket, 'epoch') AS time, concat(device_id, ' ', point_id) AS metric,
    sum(count_true)::float / sum(count_bool) AS value
FROM $source
WHERE device_id = ANY (ARRAY[$device]::text[]) AND point_id = ANY (ARRAY[$point]::text[])
    AND $__timeFilter(bucket) AND count_bool > 0
GROUP BY 1, 2
ORDER BY 1

-- name: answers
SELECT count(*) AS sent, count(acknowledged_at) AS acknowledged, count(*) FILTER (WHERE NOT ok) AS failed,
    count(*) FILTER (WHERE is_overdue) AS overdue,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM latency)) AS "latency, p95"
FROM command
WHERE $__timeFilter(sent_at)

-- name: command_list
SELECT sent_at AS sent, device_id AS device, cmd AS command,
    CASE WHEN ok THEN 'done' WHEN NOT ok THEN 'failed' WHEN is_overdue THEN 'overdue' ELSE 'no ACK yet' END AS result,
    extract(epoch FROM latency)::float AS latency, err AS error, cmd_id AS id
FROM command
WHERE device_id = ANY (ARRAY[$device]::text[]) AND $__timeFilter(sent_at)
ORDER BY sent_at DESC
LIMIT 200

-- name: events
SELECT ts AS time, device_id AS device, event_type AS event, data ->> 'state' AS state, data::text AS data
FROM device_event
WHERE device_id = ANY (ARRAY[$device]::text[]) AND $__timeFilter(ts)
ORDER BY ts DESC
LIMIT 200
