-- Which devices are online, late or silent, and how far their clocks are off: what a writer learns of each device with the
-- rows that it writes once a minute, and a view that compares it with the time now. May be run again.

ALTER TABLE public.device ADD COLUMN IF NOT EXISTS last_reading timestamptz;
ALTER TABLE public.device ADD COLUMN IF NOT EXISTS interval_s real;
ALTER TABLE public.device ADD COLUMN IF NOT EXISTS interval_gaps integer;
ALTER TABLE public.device ADD COLUMN IF NOT EXISTS expected_interval_s real
    CONSTRAINT device_expected_interval CHECK (expected_interval_s > 0);
ALTER TABLE public.device ADD COLUMN IF NOT EXISTS skew_s real;
ALTER TABLE public.device ADD COLUMN IF NOT EXISTS skew_next_s real;
ALTER TABLE public.device ADD COLUMN IF NOT EXISTS skew_since timestamptz;
ALTER TABLE public.device ADD COLUMN IF NOT EXISTS online_since timestamptz;
COMMENT ON COLUMN public.device.last_reading IS 'The newest timestamp of its telemetry, to the minute.';
COMMENT ON COLUMN public.device.interval_s IS 'Learned: the mean time between two messages.';
COMMENT ON COLUMN public.device.interval_gaps IS 'Of how many times between messages interval_s is the mean, at most 8.';
COMMENT ON COLUMN public.device.expected_interval_s IS 'Set by hand; counts instead of interval_s.';
COMMENT ON COLUMN public.device.skew_s IS 'Receipt minus the timestamp of a message''s newest reading: the least of the last 15 to 30 minutes.';
COMMENT ON COLUMN public.device.skew_next_s IS 'The least since skew_since.';
COMMENT ON COLUMN public.device.skew_since IS 'When the present quarter of an hour began.';
COMMENT ON COLUMN public.device.online_since IS 'Since then no message was late.';

-- Of all tenants: for writers and the tables' owner. A state counts by its receipt, since a last will has the time at
-- which the device connected, if any; a message that comes after it shows that the device is back. A minute more than
-- the interval, since last_seen is kept to the minute; an hour while the interval is not known.
CREATE OR REPLACE VIEW public.device_status AS
SELECT device.tenant_id, device.device_id, device.site_id, device.last_seen, device.last_reading,
    coalesce(device.expected_interval_s, device.interval_s) AS expected_interval_s,
    CASE
        WHEN state.is_offline AND state.created_at >= device.last_seen THEN 'offline'
        WHEN now() > allowed.silent_at THEN 'silent'
        WHEN now() > allowed.late_at THEN 'late'
        ELSE 'online'
    END AS status,
    CASE
        WHEN state.is_offline AND state.created_at >= device.last_seen THEN state.created_at
        WHEN now() > allowed.silent_at THEN allowed.silent_at
        WHEN now() > allowed.late_at THEN allowed.late_at
        ELSE device.online_since
    END AS since,
    device.skew_s
FROM public.device
CROSS JOIN LATERAL (
    SELECT device.last_seen + make_interval(secs => 60 + 2 * expected.seconds) AS late_at,
        device.last_seen + make_interval(secs => 60 + 5 * expected.seconds) AS silent_at
    FROM (SELECT coalesce(device.expected_interval_s, device.interval_s, 3600)) AS expected (seconds)
) AS allowed
LEFT JOIN LATERAL (
    SELECT event.data -> 'online' = 'false' AS is_offline, event.created_at
    FROM public.device_event AS event
    WHERE event.tenant_id = device.tenant_id AND event.device_id = device.device_id AND event.event_type = 'state'
        AND jsonb_typeof(event.data -> 'online') = 'boolean'
    ORDER BY event.ts DESC, event.created_at DESC
    LIMIT 1
) AS state ON true;
COMMENT ON VIEW public.device_status IS 'Whether each device is online, late, silent or offline, and its clock.';

CREATE OR REPLACE VIEW tenant.device_status WITH (security_barrier) AS
SELECT * FROM public.device_status WHERE tenant_id = current_setting('app.tenant_id', true);
COMMENT ON VIEW tenant.device_status IS 'Whether each device is online, late, silent or offline, and its clock.';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'traksense_reader') THEN
        GRANT SELECT ON tenant.device_status TO traksense_reader;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'traksense_writer') THEN
        GRANT SELECT ON public.device_status TO traksense_writer;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE WARNING 'may not grant traksense_writer what the writer needs: %', SQLERRM;
END
$$;
