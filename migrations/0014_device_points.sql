-- The points of each device, so that the latest value of each is one descent of the index of ts_measure a point: to find
-- the points in ts_measure itself, a query would read all rows. A writer adds a point with its first row. The points of
-- rows that are older than this table are added after the migrations, in portions (ops/schema/catalogue.py). May be run
-- again.

CREATE TABLE IF NOT EXISTS public.device_point (
    tenant_id  text COLLATE "C" NOT NULL,
    device_id  text COLLATE "C" NOT NULL,
    point_id   text COLLATE "C" NOT NULL,
    unit       text,
    first_seen timestamptz NOT NULL,
    CONSTRAINT device_point_key PRIMARY KEY (tenant_id, device_id, point_id)
);
COMMENT ON TABLE public.device_point IS 'The points of each device.';
COMMENT ON COLUMN public.device_point.unit IS 'As a writer found it when the point was new, and since then once an hour; NULL where the reading had none.';
COMMENT ON COLUMN public.device_point.first_seen IS 'The timestamp of the first reading that was stored, or the time of its COMMIT if that was earlier.';

ALTER TABLE public.schema_migrations ADD COLUMN IF NOT EXISTS has_earlier_points boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN public.schema_migrations.has_earlier_points IS 'On version 14: device_point has the points of all rows that were there before it.';

ALTER TABLE public.device_point ENABLE ROW LEVEL SECURITY;
DO $$
BEGIN
    CREATE POLICY tenant_isolation ON public.device_point FOR SELECT
        USING (tenant_id = current_setting('app.tenant_id', true));
EXCEPTION
    WHEN duplicate_object THEN
        NULL;
END
$$;

CREATE OR REPLACE VIEW tenant.device_point WITH (security_barrier) AS
SELECT * FROM public.device_point WHERE tenant_id = current_setting('app.tenant_id', true);

-- A point whose rows are all dropped has none here. LIMIT makes the subquery a descent of the index for each point, and
-- with TimescaleDB it ends at the newest chunk that has a row.
CREATE OR REPLACE VIEW tenant.latest WITH (security_barrier) AS
SELECT point.tenant_id, point.device_id, point.point_id, newest.ts, newest.v_num, newest.v_bool, newest.v_text,
    newest.unit, newest.meta
FROM public.device_point AS point
CROSS JOIN LATERAL (
    SELECT ts, v_num, v_bool, v_text, unit, meta FROM public.ts_measure AS measure
    WHERE measure.tenant_id = point.tenant_id
        AND measure.device_id = point.device_id
        AND measure.point_id = point.point_id
    ORDER BY ts DESC
    LIMIT 1
) AS newest
WHERE point.tenant_id = current_setting('app.tenant_id', true);
COMMENT ON VIEW tenant.latest IS 'The newest row of each point.';

-- With the rights of whoever calls it, so that the view decides what it returns. The names in its body are resolved now,
-- whatever search_path is later.
CREATE OR REPLACE FUNCTION tenant.latest_of(device text) RETURNS SETOF tenant.latest LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT * FROM tenant.latest WHERE latest.device_id = latest_of.device;
END;
COMMENT ON FUNCTION tenant.latest_of IS 'The newest row of each point of a device.';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'traksense_reader') THEN
        GRANT SELECT ON tenant.device_point, tenant.latest TO traksense_reader;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'traksense_writer') THEN
        GRANT SELECT, INSERT, UPDATE ON public.device_point TO traksense_writer;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE WARNING 'may not grant traksense_writer what the writer needs: %', SQLERRM;
END
$$;
