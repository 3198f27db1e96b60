-- A role that reads the rows of one tenant and can't read another's, whatever SQL it runs: for a dashboard, because its
-- users can send any SQL, or for a person. As the tables' owner, who may create roles, with psql 15 or newer:
--
--   READER_PASSWORD=… psql "$DATABASE_URL" -v role=acme_reader -v tenant=acme -f deploy/postgres/reader.sql
--
-- Its views are in a schema with its own name. Each is a view of the schema `tenant` with a condition that names the
-- tenant, so a session that sets app.tenant_id to another tenant has no rows at all. Run it again after `migrate` has
-- created or changed views, and to change the password or the tenant.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
\getenv password READER_PASSWORD

BEGIN;

SELECT :{?role} AND :{?tenant} AND :{?password} AS is_complete \gset
\if :is_complete
\else
    DO $$ BEGIN RAISE 'READER_PASSWORD, -v role=… and -v tenant=… are needed'; END $$;
\endif

-- Other privileges would not be limited to the tenant.
SELECT EXISTS (
    SELECT FROM pg_roles AS role WHERE rolname = :'role'
        AND (rolsuper OR rolbypassrls OR EXISTS (SELECT FROM pg_auth_members AS granted WHERE granted.member = role.oid))
) AS is_another \gset
\if :is_another
    DO $$ BEGIN RAISE 'this role is a superuser, has BYPASSRLS or is a member of another one: choose a new name'; END $$;
\endif

-- With the name `tenant` the new views would replace the views that they read.
SELECT EXISTS (
    SELECT FROM pg_namespace AS schema WHERE nspname = :'role' AND NOT EXISTS (
        SELECT FROM aclexplode(schema.nspacl) AS granted JOIN pg_roles AS role ON role.oid = granted.grantee
        WHERE role.rolname = :'role'
    )
) AS exists_already \gset
\if :exists_already
    DO $$ BEGIN RAISE 'there is a schema with the name of the role: choose a new name'; END $$;
\endif

SELECT format('CREATE ROLE %I', :'role') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
ALTER ROLE :"role" LOGIN PASSWORD :'password';
SELECT format('ALTER ROLE %I IN DATABASE %I SET app.tenant_id = %L', :'role', current_database(), :'tenant') \gexec
SELECT format('ALTER ROLE %1$I IN DATABASE %2$I SET search_path = %1$I', :'role', current_database()) \gexec
ALTER ROLE :"role" SET statement_timeout = '30s'; -- a query of a year without aggregates must not hold up `migrate`
SELECT format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), :'role') \gexec

CREATE SCHEMA IF NOT EXISTS :"role";
GRANT USAGE ON SCHEMA :"role" TO :"role";

SELECT format(
    'CREATE OR REPLACE VIEW %1$I.%2$I WITH (security_barrier) AS SELECT * FROM tenant.%2$I WHERE tenant_id = %3$L',
    :'role', viewname, :'tenant'
) FROM pg_views WHERE schemaname = 'tenant' ORDER BY viewname \gexec
GRANT SELECT ON ALL TABLES IN SCHEMA :"role" TO :"role";

COMMIT;
