-- Actions of users. A name in a comment line starts a statement; table.py reads them.

-- name: start
-- No row where another console replays at this moment.
INSERT INTO console_action (user_name, role, action, scope, asked) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING RETURNING id

-- name: record
INSERT INTO console_action (user_name, role, action, outcome, ended_at) VALUES ($1, $2, $3, $4, now())

-- name: end_interrupted
-- Actions of a console that is gone.
UPDATE console_action SET ended_at = seen_at, outcome = 'interrupted'
WHERE ended_at IS NULL AND seen_at < now() - make_interval(secs => $1)

-- name: hold
-- Locks the action until the transaction ends; no row if another console has ended it.
SELECT id FROM console_action WHERE id = $1 AND ended_at IS NULL FOR UPDATE

-- name: count_done
UPDATE console_action SET done = done + $2, seen_at = now() WHERE id = $1

-- name: beat
UPDATE console_action SET seen_at = now(), skipped = $2 WHERE id = $1 AND ended_at IS NULL RETURNING stop_asked_by

-- name: ask_stop
-- No row if it has ended, or if a user has asked before.
UPDATE console_action SET stop_asked_by = $2
WHERE id = $1 AND action = 'replay' AND ended_at IS NULL AND stop_asked_by IS NULL RETURNING id

-- name: end
UPDATE console_action SET seen_at = now(), ended_at = now(), outcome = $2, skipped = $3, done = coalesce($4, done)
WHERE id = $1 AND ended_at IS NULL

-- name: columns
id, started_at, coalesce(ended_at, CASE WHEN seen_at < now() - make_interval(secs => $1) THEN seen_at END) AS ended_at,
    user_name, role, action, scope, asked, done, skipped, stop_asked_by,
    coalesce(outcome, CASE WHEN seen_at < now() - make_interval(secs => $1) THEN 'interrupted' END) AS outcome

-- name: newest_replay
SELECT {columns} FROM console_action WHERE action = 'replay' ORDER BY id DESC LIMIT 1

-- name: one
SELECT {columns} FROM console_action WHERE id = $2

-- name: page
SELECT {columns} FROM console_action WHERE $2::bigint IS NULL OR id <= $2 ORDER BY id DESC LIMIT $3
