-- Every statement of `import`. A name in a comment line starts one; ops/imports/table.py reads them, and replaces what is in
-- braces: names that the database itself has quoted, and the part `invalid`. Columns are written `source.…`, because a bare
-- name in ORDER BY may be that of an output column, which is text.

-- name: table
-- The table or view that a name stands for, as in a statement; and the server and database it is in.
SELECT relation.oid, format('%I.%I', namespace.nspname, relation.relname) AS name,
    row_security_active(relation.oid) AS is_hidden,
    (SELECT system_identifier FROM pg_control_system()) AS system,
    (SELECT oid FROM pg_database WHERE datname = current_database()) AS database
FROM pg_class AS relation JOIN pg_namespace AS namespace ON namespace.oid = relation.relnamespace
WHERE relation.oid = to_regclass($1)

-- name: columns
-- `is_unique` and `is_primary`: whether an index over this column alone says so.
SELECT attname AS name, quote_ident(attname) AS quoted, format_type(atttypid, NULL) AS type,
    format_type(atttypid, atttypmod) AS cast,
    coalesce((
        SELECT format(' COLLATE %I.%I', nspname, collname)
        FROM pg_collation JOIN pg_namespace ON pg_namespace.oid = collnamespace WHERE pg_collation.oid = attcollation
    ), '') AS collation,
    coalesce(bool_or(indisunique), false) AS is_unique, coalesce(bool_or(indisprimary), false) AS is_primary
FROM pg_attribute LEFT JOIN pg_index
    ON indrelid = attrelid AND indkey[0] = attnum AND indnkeyatts = 1 AND indpred IS NULL AND indisvalid
WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped
GROUP BY attnum, attname, atttypid, atttypmod, attcollation
ORDER BY attnum

-- name: invalid
CASE
    WHEN {key} IS NULL THEN 'the key is NULL'
    WHEN {topic} IS NULL THEN 'the topic is NULL'
    WHEN {payload} IS NULL THEN 'the payload is NULL'
    WHEN NOT ({received} >= '2000-01-01T00:00:00Z' AND {received} < '9999-12-31T00:00:00Z')
        THEN 'the time of receipt is not between the years 2000 and 9999'
END

-- name: repeated
SELECT {key}::text FROM {table} AS source GROUP BY {key} HAVING count(*) > 1 AND {key} IS NOT NULL LIMIT 1

-- name: survey
SELECT count(*) AS rows, count({invalid}) AS invalid FROM {table} AS source

-- name: examples
SELECT {key}::text AS position, {invalid} AS reason FROM {table} AS source WHERE {invalid} IS NOT NULL ORDER BY {key} LIMIT $1

-- name: last
SELECT {key}::text FROM {table} AS source WHERE {key} IS NOT NULL ORDER BY {key} DESC LIMIT 1

-- name: in_order
SELECT position FROM unnest($1::text[]) AS position ORDER BY position::{type}{collation}

-- name: page
SELECT {key}::text AS position, {invalid} AS invalid, {topic}::text AS topic, {bytes} AS payload,
    CASE WHEN {invalid} IS NULL THEN (extract(epoch FROM {received}) * 1000)::bigint END AS received_ms
FROM {table} AS source WHERE {behind} AND {key} <= $1::text::{type} ORDER BY {key} LIMIT $2
