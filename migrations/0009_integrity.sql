-- What a writer asks before it stores: whether ts_measure still is the hypertable that was made of it. PostgreSQL takes
-- rows for a hypertable also where TimescaleDB is not at work – its library isn't loaded, `timescaledb.restoring` is on –
-- and then keeps them in the root table, of which TimescaleDB shows nothing.
--
-- Everybody may call these functions: they tell nothing of anybody's rows but how many are hidden. May be run again.

ALTER TABLE public.schema_migrations ADD COLUMN IF NOT EXISTS made_hypertable boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN public.schema_migrations.made_hypertable IS 'On version 2: ts_measure was made a hypertable, and writers demand that it is one.';

CREATE OR REPLACE FUNCTION public.ts_measure_is_hypertable() RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Two statements: the second one is planned only where there is such a catalogue.
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
        RETURN false;
    END IF;
    RETURN EXISTS (
        SELECT FROM _timescaledb_catalog.hypertable
        WHERE schema_name = 'public' AND table_name = 'ts_measure' AND to_regclass('public.ts_measure') IS NOT NULL
    );
END
$$;
COMMENT ON FUNCTION public.ts_measure_is_hypertable IS 'Whether TimescaleDB knows ts_measure as a hypertable.';

CREATE OR REPLACE FUNCTION public.ts_measure_is_as_made() RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN public.ts_measure_is_hypertable()
        OR NOT EXISTS (SELECT FROM public.schema_migrations WHERE made_hypertable);
END
$$;
COMMENT ON FUNCTION public.ts_measure_is_as_made IS 'False where ts_measure was made a hypertable and is none any more.';

-- The root table of a sound hypertable has no page, which costs one look at its file. The rows in it can be read only
-- while timescaledb.restoring is on, which a superuser may set, and who was granted it (from PostgreSQL 15 on).
CREATE OR REPLACE FUNCTION public.hidden_rows(at_most integer) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    restoring text := current_setting('timescaledb.restoring', true);
    hidden    bigint;
BEGIN
    IF NOT public.ts_measure_is_hypertable() OR pg_relation_size('public.ts_measure') = 0 THEN
        RETURN 0;
    END IF;
    IF restoring = 'off' THEN
        BEGIN
            PERFORM set_config('timescaledb.restoring', 'on', true);
        EXCEPTION WHEN insufficient_privilege THEN
            -- What is left is the statistics; after a crash there are none.
            RETURN CASE WHEN pg_stat_get_tuples_inserted('public.ts_measure'::regclass) > 0
                AND pg_stat_get_live_tuples('public.ts_measure'::regclass) = 0 THEN 0 END;
        END;
    END IF;
    -- EXECUTE, since a plan that was made while it was off shows nothing.
    EXECUTE 'SELECT count(*) FROM (SELECT FROM ONLY public.ts_measure LIMIT $1) AS hidden' INTO hidden USING at_most;
    IF restoring = 'off' THEN
        PERFORM set_config('timescaledb.restoring', 'off', true);
    END IF;
    RETURN hidden;
END
$$;
COMMENT ON FUNCTION public.hidden_rows IS 'How many rows of the hypertable ts_measure no query shows, at_most so many; NULL where there may be some and the owner may not count them.';

GRANT EXECUTE ON FUNCTION
    public.ts_measure_is_hypertable(), public.ts_measure_is_as_made(), public.hidden_rows(integer)
TO PUBLIC;

UPDATE public.schema_migrations SET made_hypertable = true WHERE version = 2 AND public.ts_measure_is_hypertable();
