-- When a receiver got the message from the broker: `dlq replay` gives it back, and a message without a time of its own
-- is then stored at that moment. NULL in the rows of a writer of the version before. May be run again.

ALTER TABLE public.ingest_errors ADD COLUMN IF NOT EXISTS received_at timestamptz;
COMMENT ON COLUMN public.ingest_errors.received_at IS 'When a receiver got the message from the broker; NULL where an older version stored it.';

-- A view has the columns that its table had when it was made.
CREATE OR REPLACE VIEW tenant.ingest_errors WITH (security_barrier) AS
SELECT * FROM public.ingest_errors WHERE tenant_id = current_setting('app.tenant_id', true);
