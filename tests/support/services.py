"""Which servers the integration tests run on: the embedded ones, or Debian's where asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import asyncpg

from ops.embedded import Broker, PostgresServer, RedisServer, Server, free_port
from tests.support.debian import DebianPostgres, DebianRedis, Mosquitto


@dataclass(frozen=True)
class Services:
    """Makes servers of one kind, each in a directory of its own."""

    name: str
    broker_type: type[Server]
    redis_type: type[Server]
    postgres_type: type[PostgresServer] | type[DebianPostgres]

    def broker(self, directory: Path) -> Server:
        """A broker that isn't started yet."""
        if self.broker_type is Broker:
            return Broker(directory / "broker", free_port(), free_port())
        return self.broker_type(directory / "broker", free_port())

    def redis(self, directory: Path) -> Server:
        """A Redis that isn't started yet."""
        return self.redis_type(directory / "redis", free_port())


EMBEDDED = Services("embedded", Broker, RedisServer, PostgresServer)
DEBIAN = Services("debian", Mosquitto, DebianRedis, DebianPostgres)


def missing(services: Services) -> list[str]:
    """What of these isn't installed here."""
    kinds = (services.broker_type, services.redis_type, services.postgres_type)
    return [kind.__name__ for kind in kinds if not getattr(kind, "installed", lambda: True)()]


def database_url(server: Server, name: str) -> str:
    """The URL of another database of the same server."""
    return f"{server.url.rpartition('/')[0]}/{name}"


async def administer(server: Server, statement: str) -> None:
    """Run a statement that belongs to no test's database."""
    connection = await asyncpg.connect(database_url(server, "postgres"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
