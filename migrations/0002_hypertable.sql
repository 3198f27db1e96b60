-- With the timescaledb extension ts_measure becomes a hypertable of one-day chunks. Without it, the plain table
-- stays: same columns, same constraints. No index but the unique one: a second one on ts costs 20–30 % of the
-- rows/s, and a query names its tenant.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')
        OR current_setting('shared_preload_libraries') !~ '\mtimescaledb\M'
    THEN
        RAISE WARNING 'this PostgreSQL has no timescaledb: ts_measure is a plain table, without chunks';
        RETURN;
    END IF;
    CREATE EXTENSION IF NOT EXISTS timescaledb;
    PERFORM create_hypertable(
        'ts_measure',
        by_range('ts', INTERVAL '1 day'),
        create_default_indexes => false
    );
END
$$;
