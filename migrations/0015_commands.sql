-- The commands that a platform sends to devices, where MQTT_TOPICS has them, and what came of each: cmd_ack has the answers.
-- May be run again.

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

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'traksense_reader') THEN
        GRANT SELECT ON tenant.command TO traksense_reader;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'traksense_writer') THEN
        GRANT SELECT, INSERT, UPDATE ON public.command TO traksense_writer;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE WARNING 'may not grant traksense_reader and traksense_writer what they need: %', SQLERRM;
END
$$;
