-- A reader sees its tenant's rows and no others, and none while app.tenant_id isn't set.
--
-- Row level security on the tables holds for every role but their owner and roles with BYPASSRLS, as which the
-- writer connects: COPY is refused to a role that is under it. It does not reach a hypertable's chunks, on which a
-- privilege on the hypertable is repeated. So readers get no privilege on the tables, but views in the schema
-- `tenant`, which filter with the rights of the tables' owner.

CREATE SCHEMA tenant;

DO $$
DECLARE
    relation text;
BEGIN
    FOREACH relation IN ARRAY ARRAY['ts_measure', 'cmd_ack', 'device_event', 'device', 'ingest_errors'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', relation);
        EXECUTE format(
            'CREATE POLICY tenant_isolation ON %I FOR SELECT USING (tenant_id = current_setting(''app.tenant_id'', true))',
            relation
        );
        EXECUTE format(
            'CREATE VIEW tenant.%1$I WITH (security_barrier) AS '
            'SELECT * FROM public.%1$I WHERE tenant_id = current_setting(''app.tenant_id'', true)',
            relation
        );
    END LOOP;
END
$$;

-- traksense_reader: what a person or a dashboard of one tenant is a member of. Roles belong to the whole server,
-- so another database's migration may have made it already, or be making it now.
DO $$
BEGIN
    CREATE ROLE traksense_reader NOLOGIN;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN
        NULL;
    WHEN insufficient_privilege THEN
        RAISE WARNING 'may not create the role traksense_reader: grant SELECT on the views of tenant to one of your own';
END
$$;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'traksense_reader') THEN
        GRANT USAGE ON SCHEMA tenant TO traksense_reader;
        GRANT SELECT ON ALL TABLES IN SCHEMA tenant TO traksense_reader;
    END IF;
END
$$;
