-- What the writer asks while duplicates come: which of these points are not stored yet. All that comes back is places in
-- what was asked, so the writer needs no SELECT on ts_measure. May be run again.
--
-- A message is a tenant, a device, a moment and the number of a list of points: what comes from devices of one kind has
-- the same list, which is sent once. Comes back as pairs, both from 1: a message, and a place in its list.
--
-- A day at a time, as chunks are: the limits of each day leave one chunk in its plan. LIMIT makes that plan a lookup in
-- the unique index for each point, whatever the planner believes of arrays.

CREATE OR REPLACE FUNCTION public.unstored_points(
    tenants text[], devices text[], moments timestamptz[], lists integer[], points text[], lists_of_points integer[]
) RETURNS integer[] LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    day      record;
    found    integer[];
    unstored integer[] := '{}';
BEGIN
    FOR day IN
        SELECT min(moment) AS first, max(moment) AS last
        FROM unnest(moments) AS moment
        GROUP BY date_trunc('day', moment, 'UTC')
    LOOP
        -- EXECUTE plans with the values, so that the other chunks aren't even looked at.
        EXECUTE '
            SELECT array_agg(ARRAY[message.place, point.place]::integer[])
            FROM unnest($1, $2, $3, $4) WITH ORDINALITY AS message (tenant_id, device_id, ts, list, place)
            JOIN (
                SELECT id, list, row_number() OVER (PARTITION BY list ORDER BY place) AS place
                FROM unnest($5, $6) WITH ORDINALITY AS point (id, list, place)
            ) AS point ON point.list = message.list
            LEFT JOIN LATERAL (
                SELECT true AS is_there FROM public.ts_measure AS measure
                WHERE measure.tenant_id = message.tenant_id
                    AND measure.device_id = message.device_id
                    AND measure.point_id = point.id
                    AND measure.ts = message.ts
                    AND measure.ts BETWEEN $7 AND $8
                LIMIT 1
            ) AS stored ON true
            WHERE message.ts BETWEEN $7 AND $8 AND stored.is_there IS NULL'
        INTO found USING tenants, devices, moments, lists, points, lists_of_points, day.first, day.last;
        unstored := unstored || found;
    END LOOP;
    RETURN unstored;
END
$$;
REVOKE EXECUTE ON FUNCTION public.unstored_points FROM PUBLIC;
COMMENT ON FUNCTION public.unstored_points IS 'Pairs of a message and a place in its list of points, from 1: what ts_measure does not have.';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
        -- In a ChunkAppend a lookup takes twice as long, even of one chunk.
        ALTER FUNCTION public.unstored_points SET timescaledb.enable_chunk_append = off;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'traksense_writer') THEN
        GRANT EXECUTE ON FUNCTION public.unstored_points TO traksense_writer;
    END IF;
END
$$;
