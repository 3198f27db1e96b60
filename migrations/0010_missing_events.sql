-- What the writer asks after fewer events went in than it sent: how many of them are not there, since a trigger keeps them
-- out. A count is all that comes back, so the writer needs no SELECT on device_event. May be run again.

CREATE OR REPLACE FUNCTION public.missing_events(tenants text[], devices text[], events text[])
RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT count(*)
    FROM unnest(tenants, devices, events) AS sent (tenant_id, device_id, event_id)
    WHERE NOT EXISTS (
        SELECT FROM public.device_event AS stored
        WHERE (stored.tenant_id, stored.device_id, stored.event_id) = (sent.tenant_id, sent.device_id, sent.event_id)
    )
$$;
REVOKE EXECUTE ON FUNCTION public.missing_events FROM PUBLIC;
COMMENT ON FUNCTION public.missing_events IS 'How many of these events device_event does not have.';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'traksense_writer') THEN
        GRANT EXECUTE ON FUNCTION public.missing_events TO traksense_writer;
    END IF;
END
$$;
