-- The commands that a platform sends to devices, where MQTT_TOPICS has them, and what came of each: cmd_ack has the answers.
-- And the current state of each device, of which device_event has the history. May be run again.

CREATE TABLE IF NOT EXISTS public.command (
    tenant_id  text COLLATE "C" NOT NULL,
    device_id  text COLLATE "C" NOT NULL,
    cmd_id     text COLLATE "C" NOT NULL,
    sent_at    timestamptz NOT NULL,
    cmd        text,
    payload    jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT command_key PRIMARY KEY (tenant_id, device_id, cmd_id)
);
CREATE INDEX IF NOT EXISTS command_sent_at ON public.command (sent_at);
COMMENT ON TABLE public.command IS 'One row for each command: the first sending counts.';
COMMENT ON COLUMN public.command.sent_at IS 'The timestamp of the message; without one, when a receiver got it.';

-- `migrate` replaces it as INGEST_ACK_TIMEOUT_S says.
DO $$
BEGIN
    IF to_regprocedure('public.ack_timeout()') IS NULL THEN
        CREATE FUNCTION public.ack_timeout() RETURNS interval LANGUAGE sql STABLE PARALLEL SAFE
        AS 'SELECT make_interval(secs => 60)';
    END IF;
END
$$;
COMMENT ON FUNCTION public.ack_timeout IS 'How long after it was sent a command without an ACK is overdue: INGEST_ACK_TIMEOUT_S.';

ALTER TABLE public.command ENABLE ROW LEVEL SECURITY;
DO $$
BEGIN
    CREATE POLICY tenant_isolation ON public.command FOR SELECT
        USING (tenant_id = current_setting('app.tenant_id', true));
EXCEPTION
    WHEN duplicate_object THEN
        NULL;
END
$$;

-- An ACK without a command shows as well: the command was sent before its topic was subscribed to, or over another way.
CREATE OR REPLACE VIEW tenant.command WITH (security_barrier) AS
SELECT
    tenant_id, device_id, cmd_id, sent.cmd, sent.payload, sent.sent_at, ack.created_at AS acknowledged_at,
    ack.ok, ack.err, ack.ts_exec, ack.created_at - sent.sent_at AS latency,
    ack.created_at IS NULL AND sent.sent_at < now() - public.ack_timeout() AS is_overdue
FROM (
    SELECT * FROM public.command WHERE tenant_id = current_setting('app.tenant_id', true)
) AS sent
FULL JOIN (
    SELECT * FROM public.cmd_ack WHERE tenant_id = current_setting('app.tenant_id', true)
) AS ack USING (tenant_id, device_id, cmd_id);
COMMENT ON VIEW tenant.command IS 'Commands and their ACKs; latency is from sending to the first ACK in the stream.';

-- Any client may send an event of the type `state`: only what says whether a device is online is a state.
CREATE INDEX IF NOT EXISTS device_event_state ON public.device_event (tenant_id, device_id, ts DESC, created_at DESC)
WHERE event_type = 'state' AND jsonb_typeof(data -> 'online') = 'boolean';

CREATE OR REPLACE VIEW tenant.device_state WITH (security_barrier) AS
SELECT DISTINCT ON (tenant_id, device_id)
    tenant_id, device_id, (data -> 'online')::boolean AS is_online,
    coalesce(data ->> 'state', CASE WHEN (data -> 'online')::boolean THEN 'online' ELSE 'offline' END) AS state,
    data ->> 'reason' AS reason, ts
FROM public.device_event
WHERE tenant_id = current_setting('app.tenant_id', true)
    AND event_type = 'state' AND jsonb_typeof(data -> 'online') = 'boolean'
ORDER BY tenant_id, device_id, ts DESC, created_at DESC;
COMMENT ON VIEW tenant.device_state IS 'The newest state of each device; device_event has the earlier ones.';

-- What a broker has kept comes again at each subscription: a state without a time of its own is news only if it differs. A
-- boolean is all that comes back, so the writer needs no SELECT on device_event.
CREATE OR REPLACE FUNCTION public.has_state(tenant text, device text, state jsonb)
RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce((
        SELECT newest.data = $3
        FROM public.device_event AS newest
        WHERE newest.tenant_id = $1 AND newest.device_id = $2
            AND newest.event_type = 'state' AND jsonb_typeof(newest.data -> 'online') = 'boolean'
        ORDER BY newest.ts DESC, newest.created_at DESC LIMIT 1
    ), false)
$$;
REVOKE EXECUTE ON FUNCTION public.has_state FROM PUBLIC;
COMMENT ON FUNCTION public.has_state IS 'Whether this is the newest state of the device.';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'traksense_reader') THEN
        GRANT SELECT ON tenant.command, tenant.device_state TO traksense_reader;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'traksense_writer') THEN
        GRANT SELECT, INSERT, UPDATE ON public.command TO traksense_writer;
        GRANT EXECUTE ON FUNCTION public.has_state TO traksense_writer;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE WARNING 'may not grant traksense_reader and traksense_writer what they need: %', SQLERRM;
END
$$;
