-- What the writer stores. Id columns are COLLATE "C": they are compared for equality and sorted for batches,
-- never for a language's order, and bytes compare faster.

CREATE TABLE ts_measure (
    tenant_id text COLLATE "C" NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    point_id  text COLLATE "C" NOT NULL,
    ts        timestamptz NOT NULL,
    v_num     double precision,
    v_bool    boolean,
    v_text    text,
    unit      text,
    meta      jsonb,
    CONSTRAINT ts_measure_key UNIQUE (tenant_id, device_id, point_id, ts)
);
COMMENT ON TABLE ts_measure IS 'One row for each point of each telemetry message; exactly one value column is filled, or none where the sensor had no reading.';

CREATE TABLE cmd_ack (
    tenant_id  text COLLATE "C" NOT NULL,
    device_id  text COLLATE "C" NOT NULL,
    cmd_id     text COLLATE "C" NOT NULL,
    ok         boolean NOT NULL,
    ts_exec    timestamptz,
    err        text,
    payload    jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT cmd_ack_key PRIMARY KEY (tenant_id, device_id, cmd_id)
);
COMMENT ON TABLE cmd_ack IS 'One row for each command; each repetition of its ACK moves updated_at, a newer ts_exec replaces the rest.';

CREATE TABLE device_event (
    tenant_id  text COLLATE "C" NOT NULL,
    device_id  text COLLATE "C" NOT NULL,
    event_id   text COLLATE "C" NOT NULL,
    event_type text NOT NULL,
    ts         timestamptz NOT NULL,
    data       jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT device_event_key PRIMARY KEY (tenant_id, device_id, event_id)
);
COMMENT ON TABLE device_event IS 'One row for each event; where the device gave no event_id, it is a hash of the content.';

CREATE TABLE device (
    tenant_id  text COLLATE "C" NOT NULL,
    device_id  text COLLATE "C" NOT NULL,
    site_id    text COLLATE "C" NOT NULL,
    meta       jsonb,
    first_seen timestamptz NOT NULL,
    last_seen  timestamptz NOT NULL,
    CONSTRAINT device_key PRIMARY KEY (tenant_id, device_id)
);
COMMENT ON TABLE device IS 'What is known of each device; last_seen is kept to the minute, so that no row is hot.';

CREATE TABLE ingest_errors (
    id          bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT ingest_errors_key PRIMARY KEY,
    ts          timestamptz NOT NULL DEFAULT now(),
    tenant_id   text COLLATE "C",
    topic       text NOT NULL,
    payload     text NOT NULL,
    payload_raw bytea,
    reason      text NOT NULL,
    error_class text NOT NULL,
    sqlstate    text,
    stream      text COLLATE "C" NOT NULL,
    entry_id    text COLLATE "C" NOT NULL,
    deliveries  integer NOT NULL,
    replayed_at timestamptz,
    CONSTRAINT ingest_errors_entry UNIQUE (stream, entry_id)
);
COMMENT ON TABLE ingest_errors IS 'The dead letter queue: one row for each entry that can never be stored.';
COMMENT ON COLUMN ingest_errors.payload_raw IS 'The exact bytes, where payload can''t hold them: not UTF-8, or with a NUL.';
