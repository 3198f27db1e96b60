-- The aliases of Sparkplug devices: a BIRTH gives each metric a number, and what follows has the number alone. The last
-- BIRTH of each node and device is kept, so that a writer that is started later, or another one, can read what follows.
-- May be run again.

CREATE TABLE IF NOT EXISTS public.sparkplug_birth (
    tenant_id  text COLLATE "C" NOT NULL,
    device_key text COLLATE "C" NOT NULL,
    born_at    timestamptz NOT NULL,
    aliases    jsonb NOT NULL,
    PRIMARY KEY (tenant_id, device_key)
);
CREATE INDEX IF NOT EXISTS sparkplug_birth_device ON public.sparkplug_birth (device_key);
COMMENT ON TABLE public.sparkplug_birth IS 'The last BIRTH of each Sparkplug node and device.';
COMMENT ON COLUMN public.sparkplug_birth.device_key IS 'The levels of its topic but for the type of message.';
COMMENT ON COLUMN public.sparkplug_birth.born_at IS 'When a receiver got it.';
COMMENT ON COLUMN public.sparkplug_birth.aliases IS '[[name, data type, alias or null], …]';

ALTER TABLE public.sparkplug_birth ENABLE ROW LEVEL SECURITY;
DO $$
BEGIN
    CREATE POLICY tenant_isolation ON public.sparkplug_birth FOR SELECT
        USING (tenant_id = current_setting('app.tenant_id', true));
EXCEPTION
    WHEN duplicate_object THEN
        NULL;
END
$$;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'traksense_writer') THEN
        GRANT SELECT, INSERT, UPDATE ON public.sparkplug_birth TO traksense_writer;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE WARNING 'may not grant traksense_writer what the writer needs: %', SQLERRM;
END
$$;
