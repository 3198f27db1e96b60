-- traksense_writer: what the writer's statements need, and nothing else. It has BYPASSRLS, since COPY is refused to a
-- role under row level security. A member doesn't inherit that: so either the role itself gets a password (ALTER ROLE
-- traksense_writer LOGIN PASSWORD '…'), or a login role that is a member of it gets BYPASSRLS as well.
--
-- Only a superuser may make such a role before PostgreSQL 16. All of this may be run again, with psql as the tables'
-- owner, once somebody who may has made it.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'traksense_writer') THEN
        CREATE ROLE traksense_writer NOLOGIN BYPASSRLS;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN
        NULL; -- another database's migration was faster
    WHEN insufficient_privilege THEN
        RAISE WARNING 'may not create the role traksense_writer: let a superuser do it, as docs/security.md says';
END
$$;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'traksense_writer') THEN
        GRANT USAGE ON SCHEMA public TO traksense_writer;
        GRANT SELECT ON schema_migrations TO traksense_writer;
        GRANT INSERT ON ts_measure, device_event TO traksense_writer;
        GRANT SELECT, INSERT ON ingest_errors TO traksense_writer;
        GRANT SELECT, INSERT, UPDATE ON cmd_ack, device, stream_ledger TO traksense_writer;
        EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO traksense_writer', current_database());
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE WARNING 'may not grant traksense_writer what the writer needs: %', SQLERRM;
END
$$;

-- Until PostgreSQL 14 everybody may create tables in the schema public.
DO $$
BEGIN
    REVOKE CREATE ON SCHEMA public FROM PUBLIC;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE WARNING 'may not take CREATE on the schema public from everybody: let its owner do it';
END
$$;
