-- What INGEST_DLQ_RETENTION_DAYS makes a job of TimescaleDB's call once a day, and what cron may call without TimescaleDB:
--     CALL purge_dead_letters(0, '{"older_than": "90 days"}')
-- A thousand rows a transaction: short locks, and what is deleted stays deleted. What a replay has in hand at this
-- moment stays until the next run. Names are qualified, since a procedure that commits can't set its search_path.

CREATE PROCEDURE public.purge_dead_letters(job_id integer, config jsonb) LANGUAGE plpgsql AS $$
DECLARE
    cutoff     timestamptz := now() - (config ->> 'older_than')::interval;
    last       bigint := 0;
    deleted    bigint := 0;
    unreplayed bigint := 0;
    portion    record;
BEGIN
    IF cutoff IS NULL THEN
        RAISE EXCEPTION 'purge_dead_letters: config has no older_than, as in {"older_than": "90 days"}';
    END IF;
    LOOP
        WITH old AS (
            SELECT id FROM public.ingest_errors WHERE ts < cutoff AND id > last
            ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED
        ), gone AS (
            DELETE FROM public.ingest_errors WHERE id IN (SELECT id FROM old) RETURNING id, replayed_at
        )
        SELECT max(id) AS last, count(*) AS rows, count(*) - count(replayed_at) AS unreplayed INTO portion FROM gone;
        EXIT WHEN portion.rows = 0;
        COMMIT;
        last := portion.last;
        deleted := deleted + portion.rows;
        unreplayed := unreplayed + portion.unreplayed;
    END LOOP;
    IF deleted > 0 THEN
        RAISE LOG '% dead letters older than % deleted, % of them never replayed', deleted, config ->> 'older_than', unreplayed;
    END IF;
END
$$;
REVOKE EXECUTE ON PROCEDURE public.purge_dead_letters FROM PUBLIC;
COMMENT ON PROCEDURE public.purge_dead_letters IS 'Deletes dead letters that are older than config''s older_than, replayed or not.';
