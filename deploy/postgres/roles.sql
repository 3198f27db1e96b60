-- Runs at each `docker compose up`, so that the roles get a new POSTGRES_WRITER_PASSWORD, POSTGRES_VIEWER_PASSWORD or
-- POSTGRES_READER_PASSWORD of the .env file.
\set ON_ERROR_STOP on
\getenv password WRITER_PASSWORD
ALTER ROLE traksense_writer LOGIN PASSWORD :'password';

-- A console that only reads can connect as this role. Without a password it can't log in.
\set viewer ''
\getenv viewer VIEWER_PASSWORD
SELECT format(CASE WHEN :'viewer' <> '' THEN 'ALTER ROLE %I LOGIN PASSWORD %L' ELSE 'ALTER ROLE %I NOLOGIN' END, rolname, :'viewer')
FROM pg_roles WHERE rolname = 'traksense_viewer' \gexec

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
