"""A PostgreSQL that the same role reaches with TLS, without, and by a Unix socket."""

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

from bench.scenario import Impossible
from bench.servers import Servers
from traksense_ingest.ops.embedded import free_port
from traksense_ingest.ops.schema.migrate import migrate

TLS, TCP, SOCKET = "TLS", "TCP without TLS", "Unix socket"


@dataclass(frozen=True)
class Transports:
    """The servers with this PostgreSQL instead of theirs, and its URLs by transport."""

    servers: Servers
    urls: Mapping[str, str]


@asynccontextmanager
async def with_transports(servers: Servers, directory: Path) -> AsyncIterator[Transports]:
    """Raises Impossible where it can't have TLS."""
    if shutil.which("openssl") is None:
        raise Impossible("there is no openssl to make a certificate with")
    with tempfile.TemporaryDirectory(prefix="traksense-", dir="/tmp") as sockets:  # a socket's path is limited
        os.chmod(sockets, 0o777)  # noqa: S103 - PostgreSQL runs as another user where we are root
        options = {"unix_socket_directories": sockets}
        with servers.kind.postgres_type(directory / "postgres-tls", free_port(), options) as server:
            await migrate(server.url)
            await asyncio.to_thread(_certify, server.data)
            await _use_tls(server.url)
            socket = f"postgresql:///traksense?host={sockets}&port={server.port}&user=postgres"
            urls = {TLS: f"{server.url}?sslmode=require", TCP: f"{server.url}?sslmode=disable", SOCKET: socket}
            pids = {**servers.pids, "postgres": server.pid or 0}
            yield Transports(replace(servers, database_url=urls[SOCKET], pids=pids), urls)


def _certify(data: Path) -> None:
    """A certificate and its key where PostgreSQL looks for them, the key for its user alone."""
    key, certificate, owner = data / "server.key", data / "server.crt", data.stat()
    subject = ("-subj", "/CN=localhost", "-days", "1", "-keyout", str(key), "-out", str(certificate))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject], check=True, capture_output=True
    )
    for path in (key, certificate):
        os.chown(path, owner.st_uid, owner.st_gid)
        path.chmod(0o600)


async def _use_tls(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("ALTER SYSTEM SET ssl = on")
        await connection.execute("SELECT pg_reload_conf()")
    except asyncpg.PostgresError as error:
        raise Impossible(f"this PostgreSQL has no TLS: {error}") from None
    finally:
        await connection.close()
