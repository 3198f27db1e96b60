-- With the timescaledb extension ts_measure becomes a hypertable of one-day chunks. Without it, the plain table
-- stays: same columns, same constraints. No index but the unique one: a second one on ts costs 20–30 % of the
-- rows/s, and a query names its tenant.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
        -- CREATE EXTENSION ends the session when the library isn't preloaded. Who may not read
        -- shared_preload_libraries sees by this setting of its whether it is.
        IF NOT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')
            OR NOT EXISTS (SELECT FROM pg_settings WHERE name = 'timescaledb.disable_load')
        THEN
            RAISE WARNING 'this PostgreSQL has no timescaledb: ts_measure is a plain table, without chunks';
            RETURN;
        END IF;
        BEGIN
            CREATE EXTENSION timescaledb;
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE WARNING 'may not create the extension timescaledb: ts_measure is a plain table, without chunks';
            RETURN;
        END;
    END IF;
    PERFORM create_hypertable(
        'ts_measure',
        by_range('ts', INTERVAL '1 day'),
        create_default_indexes => false
    );
END
$$;
