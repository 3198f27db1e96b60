"""A PostgreSQL that the same role reaches by TCP, with TLS if it can have that, and by a Unix socket."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg

from bench.servers import Servers
from traksense_ingest.ops.embedded import free_port
from traksense_ingest.ops.schema.migrate import migrate

TLS, TCP, SOCKET = "TLS", "TCP", "Unix socket"


@dataclass(frozen=True)
class Transports:
    """The servers with this PostgreSQL instead of theirs, and its URLs by transport; TLS may be missing."""

    servers: Servers
    urls: Mapping[str, str]


@asynccontextmanager
async def with_transports(servers: Servers, directory: Path) -> AsyncIterator[Transports]:
    """A new PostgreSQL, migrated and empty."""
    with tempfile.TemporaryDirectory(prefix="traksense-", dir="/tmp") as sockets:  # a socket's path is limited
        os.chmod(sockets, 0o777)  # noqa: S103 - PostgreSQL runs as another user where we are root
        options = {"unix_socket_directories": sockets}
        with servers.kind.postgres_type(directory / "postgres-transports", free_port(), options) as server:
            await migrate(server.url)
            socket = f"postgresql:///traksense?host={sockets}&port={server.port}&user=postgres"
            urls = {TCP: f"{server.url}?sslmode=disable", SOCKET: socket}
            if await _has_tls(server.url, server.data):
                urls = {TLS: f"{server.url}?sslmode=require", **urls}
            pids = {**servers.pids, "postgres": server.pid or 0}
            yield Transports(replace(servers, database_url=socket, pids=pids), urls)


async def _has_tls(url: str, data: Path) -> bool:
    """Whether it has TLS from now on: not without openssl, to make a certificate, and not if it is built without."""
    if shutil.which("openssl") is None:
        return False
    await asyncio.to_thread(_certify, data)
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("ALTER SYSTEM SET ssl = on")
        await connection.execute("SELECT pg_reload_conf()")
    except asyncpg.PostgresError:
        return False
    finally:
        await connection.close()
    return True


def _certify(data: Path) -> None:
    """A certificate and its key where PostgreSQL looks for them, for its user alone."""
    key, certificate, owner = data / "server.key", data / "server.crt", data.stat()
    subject = ("-subj", "/CN=localhost", "-days", "1", "-keyout", str(key), "-out", str(certificate))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject], check=True, capture_output=True
    )
    for path in (key, certificate):
        os.chown(path, owner.st_uid, owner.st_gid)
        path.chmod(0o600)
