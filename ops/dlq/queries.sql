-- Every statement of `dlq`. A name in a comment line starts one; ops/dlq/table.py reads them, and replaces {columns} and
-- {selected} by the parts of these names. Selection (ops/dlq/dead_letter.py) has the values for {selected}: $1 to $8.

-- name: selected
($1::bigint[] IS NULL OR id = ANY ($1))
AND ($2::text IS NULL OR tenant_id = $2)
AND ($3::text IS NULL OR error_class = $3)
AND ($4::timestamptz IS NULL OR ts >= $4)
AND ($5::timestamptz IS NULL OR ts < $5)
AND ($6::boolean IS NULL OR (replayed_at IS NOT NULL) = $6)
AND ($7::bigint IS NULL OR id >= $7)
AND ($8::bigint IS NULL OR id <= $8)

-- name: count
SELECT error_class, count(*) AS rows, count(replayed_at) AS replayed, max(ts) AS latest
FROM ingest_errors WHERE {selected}
GROUP BY error_class ORDER BY count(*) DESC, error_class

-- name: list
SELECT id, ts, tenant_id, topic, reason, error_class, sqlstate, stream, entry_id, deliveries, received_at, replayed_at
FROM ingest_errors WHERE {selected}
ORDER BY id DESC LIMIT $9

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
SELECT count(*) FROM ingest_errors WHERE {selected} AND (replayed_at IS NULL OR replayed_at < $9)

-- name: due
-- What a dry run reads: the rows that a replay would take, including those that another one has locked.
SELECT {columns} FROM ingest_errors WHERE {selected} AND (replayed_at IS NULL OR replayed_at < $9)
ORDER BY id LIMIT $10

-- name: take
-- The next rows to replay, locked until the transaction ends. What another replay has locked is passed over; a row
-- that it has marked in the meantime no longer fulfils the condition, which is checked again under the lock.
SELECT id, octet_length(payload) + coalesce(octet_length(payload_raw), 0) AS bytes
FROM ingest_errors WHERE {selected} AND (replayed_at IS NULL OR replayed_at < $9)
ORDER BY id LIMIT $10
FOR UPDATE SKIP LOCKED

-- name: mark
UPDATE ingest_errors SET replayed_at = now() WHERE id = ANY ($1)

-- name: purge
-- What a replay holds at this moment stays.
DELETE FROM ingest_errors WHERE id IN (
    SELECT id FROM ingest_errors WHERE {selected} ORDER BY id LIMIT $9 FOR UPDATE SKIP LOCKED
)
