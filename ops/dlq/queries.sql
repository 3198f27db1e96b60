-- Every statement of `dlq`. A name in a comment line starts one; ops/dlq/table.py reads them, and replaces {columns} and
-- {selected} by the parts of these names. Selection (ops/dlq/dead_letter.py) has the values for {selected}: $1 to $11.

-- name: selected
($1::bigint[] IS NULL OR id = ANY ($1))
AND ($2::text IS NULL OR tenant_id = $2)
AND ($3::text IS NULL OR error_class = $3)
AND ($4::timestamptz IS NULL OR ts >= $4)
AND ($5::timestamptz IS NULL OR ts < $5)
AND ($6::boolean IS NULL OR (replayed_at IS NOT NULL) = $6)
AND ($7::bigint IS NULL OR id >= $7)
AND ($8::bigint IS NULL OR id <= $8)
AND ($9::text IS NULL OR strpos(lower(reason), lower($9)) > 0 OR strpos(lower(topic), lower($9)) > 0)
AND (
    $10::text IS NULL
    OR strpos('/' || topic || '/', '/' || $10 || '/') > 0
    OR tenant_id = split_part($10, '/', 1)
        AND strpos('/' || topic || '/', '/' || nullif(substr($10, strpos($10, '/') + 1), $10) || '/') > 0
)
AND ($11::text IS NULL OR reason_group = $11)

-- name: count
SELECT error_class, count(*) AS rows, count(replayed_at) AS replayed, max(ts) AS latest
FROM ingest_errors WHERE {selected}
GROUP BY error_class ORDER BY count(*) DESC, error_class

-- name: list
SELECT id, ts, tenant_id, topic, reason, error_class, sqlstate, stream, entry_id, deliveries, received_at, replayed_at
FROM ingest_errors WHERE {selected}
ORDER BY id DESC LIMIT $12

-- name: list_up
-- The same rows, the oldest first.
SELECT id, ts, tenant_id, topic, reason, error_class, sqlstate, stream, entry_id, deliveries, received_at, replayed_at
FROM ingest_errors WHERE {selected}
ORDER BY id LIMIT $12

-- name: groups
-- The reasons without their values, the most frequent first. A number for each topic instead of its text: 100 000 topics
-- are sorted in half of the time.
WITH chosen AS (
    SELECT reason_group, tenant_id, hashtextextended(topic, 0) AS topic, ts, replayed_at
    FROM ingest_errors WHERE {selected}
), counted AS (
    SELECT reason_group, count(*) AS rows, count(replayed_at) AS replayed, min(ts) AS first, max(ts) AS last,
        (sum(count(*)) OVER ())::bigint AS total, (sum(count(replayed_at)) OVER ())::bigint AS total_replayed,
        count(*) OVER () AS groups
    FROM chosen GROUP BY reason_group
), tenants AS (
    SELECT reason_group, count(tenant_id) AS tenants
    FROM (SELECT DISTINCT reason_group, tenant_id FROM chosen) AS different GROUP BY reason_group
), topics AS (
    SELECT reason_group, count(*) AS topics
    FROM (SELECT DISTINCT reason_group, topic FROM chosen) AS different GROUP BY reason_group
)
SELECT * FROM counted JOIN tenants USING (reason_group) JOIN topics USING (reason_group)
ORDER BY rows DESC, reason_group LIMIT $12

-- name: hours
-- The number of dead letters of each group in each of the last 24 hours, without zeros; hour 0 is the last one.
SELECT reason_group, floor(extract(epoch FROM now() - ts) / 3600)::integer AS hour, count(*) AS rows
FROM ingest_errors WHERE {selected} AND ts > now() - interval '24 hours' AND reason_group = ANY ($12)
GROUP BY 1, 2

-- name: newest
-- For a forecast.
SELECT {columns} FROM ingest_errors WHERE {selected} AND (replayed_at IS NULL OR replayed_at < $12)
ORDER BY id DESC LIMIT $13

-- name: neighbours
-- The next older and the next newer dead letter of the same group.
SELECT
    (SELECT max(older.id) FROM ingest_errors AS older WHERE older.reason_group = own.reason_group AND older.id < own.id)
        AS older,
    (SELECT min(newer.id) FROM ingest_errors AS newer WHERE newer.reason_group = own.reason_group AND newer.id > own.id)
        AS newer,
    own.reason_group AS group
FROM ingest_errors AS own WHERE own.id = $1

-- name: columns
-- The fields of DeadLetter.
id, ts, tenant_id, topic, coalesce(payload_raw, convert_to(payload, 'UTF8')) AS payload,
    payload_raw IS NULL AS is_text, reason, error_class, sqlstate, stream, entry_id, deliveries, received_at,
    replayed_at

-- name: letters
SELECT {columns} FROM ingest_errors WHERE {selected}
ORDER BY id

-- name: now
SELECT coalesce(max(id), 0) AS last, now() AS at FROM ingest_errors

-- name: count_due
SELECT count(*) FROM ingest_errors WHERE {selected} AND (replayed_at IS NULL OR replayed_at < $12)

-- name: due
-- What a dry run reads: the rows that a replay would take, including those that another one has locked.
SELECT {columns} FROM ingest_errors WHERE {selected} AND (replayed_at IS NULL OR replayed_at < $12)
ORDER BY id LIMIT $13

-- name: take
-- The next rows to replay, locked until the transaction ends. What another replay has locked is passed over; a row
-- that it has marked in the meantime no longer fulfils the condition, which is checked again under the lock.
SELECT id, octet_length(payload) + coalesce(octet_length(payload_raw), 0) AS bytes
FROM ingest_errors WHERE {selected} AND (replayed_at IS NULL OR replayed_at < $12)
ORDER BY id LIMIT $13
FOR UPDATE SKIP LOCKED

-- name: mark
UPDATE ingest_errors SET replayed_at = now() WHERE id = ANY ($1)

-- name: purge
-- What a replay holds at this moment stays.
DELETE FROM ingest_errors WHERE id IN (
    SELECT id FROM ingest_errors WHERE {selected} ORDER BY id LIMIT $12 FOR UPDATE SKIP LOCKED
)
