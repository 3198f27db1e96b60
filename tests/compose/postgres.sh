# The database: what the image's entrypoint does when the volume is new, and the server.
set -eu
cd /var/lib/postgresql/data
if [ ! -e PG_VERSION ]; then
    echo "$POSTGRES_PASSWORD" >/tmp/password
    initdb --pgdata=. --username=postgres --pwfile=/tmp/password --auth-local=trust --auth-host=scram-sha-256 --locale=C.UTF-8
    echo 'host all all all scram-sha-256' >>pg_hba.conf
    [ ! -e /usr/lib/postgresql/15/lib/timescaledb.so ] || echo "shared_preload_libraries = 'timescaledb'" >>postgresql.conf
    echo "CREATE DATABASE $POSTGRES_DB" | postgres --single -D . postgres
fi
exec postgres -D . -h '*'
