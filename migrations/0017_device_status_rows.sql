-- A role that may read public.device_status, for example after a GRANT on all tables, sees only the devices of its
-- tenant, as in the table itself. Roles without row level security, such as writers and the tables' owner, see all devices,
-- and so do members of traksense_viewer (migration 19). May be run again.

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
) AS state ON true
WHERE NOT (SELECT row_security_active('public.device'))
    OR device.tenant_id = current_setting('app.tenant_id', true)
    OR EXISTS (SELECT FROM pg_roles WHERE rolname = 'traksense_viewer' AND pg_has_role(current_user, oid, 'USAGE'));
