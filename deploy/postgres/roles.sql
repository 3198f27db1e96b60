-- Runs at each `docker compose up`, so that the role gets a new POSTGRES_WRITER_PASSWORD of the .env file.
\set ON_ERROR_STOP on
\getenv password WRITER_PASSWORD
ALTER ROLE traksense_writer LOGIN PASSWORD :'password';
