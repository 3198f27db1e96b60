-- The role traksense_viewer, for a console that only reads. It reads what the console shows, of all tenants; as a member of
-- traksense_reader also the views of the schema `tenant`, including views of aggregates that are created later. Unlike the
-- writer it needs no BYPASSRLS, which members don't inherit: a policy of each table lets it and its members see all rows.
-- May be run again.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'traksense_viewer') THEN
        CREATE ROLE traksense_viewer NOLOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN
        NULL; -- another database's migration was faster
    WHEN insufficient_privilege THEN
        RAISE WARNING 'may not create the role traksense_viewer: let a role with CREATEROLE do it, as docs/security.md says';
END
$$;

DO $$
DECLARE
    relation text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'traksense_viewer') THEN
        RETURN;
    END IF;
    GRANT USAGE ON SCHEMA public TO traksense_viewer;
    GRANT SELECT ON schema_migrations, stream_ledger, device_status TO traksense_viewer;
    IF to_regclass('public.console_action') IS NOT NULL THEN
        GRANT SELECT ON public.console_action TO traksense_viewer;
    END IF;
    FOREACH relation IN ARRAY ARRAY[
        'ts_measure', 'cmd_ack', 'command', 'device_event', 'device', 'device_point', 'ingest_errors'
    ] LOOP
        EXECUTE format('GRANT SELECT ON public.%I TO traksense_viewer', relation);
        IF NOT EXISTS (
            SELECT FROM pg_policies
            WHERE schemaname = 'public' AND tablename = relation AND policyname = 'all_tenants_for_viewers'
        ) THEN
            EXECUTE format(
                'CREATE POLICY all_tenants_for_viewers ON public.%I FOR SELECT TO traksense_viewer USING (true)', relation
            );
        END IF;
    END LOOP;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO traksense_viewer', current_database());
    GRANT traksense_reader TO traksense_viewer;
EXCEPTION
    WHEN insufficient_privilege OR undefined_object THEN
        RAISE WARNING 'may not grant traksense_viewer what a console needs: %', SQLERRM;
END
$$;
