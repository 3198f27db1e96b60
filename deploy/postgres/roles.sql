-- Runs at each `docker compose up`, so that the roles get a new POSTGRES_WRITER_PASSWORD or POSTGRES_READER_PASSWORD of the
-- .env file.
\set ON_ERROR_STOP on
\getenv password WRITER_PASSWORD
ALTER ROLE traksense_writer LOGIN PASSWORD :'password';

-- Grafana reads the devices of one tenant. Unless both variables are set, its role can't log in.
\set role grafana
\getenv tenant GRAFANA_TENANT
\getenv password READER_PASSWORD
SELECT :'tenant' <> '' AND :'password' <> '' AS has_reader \gset
\if :has_reader
    \ir reader.sql
\else
    SELECT format('ALTER ROLE %I NOLOGIN', rolname) FROM pg_roles WHERE rolname = :'role' \gexec
\endif
