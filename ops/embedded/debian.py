"""The same servers from Debian's packages, and the choice between both kinds, for tests and benchmarks."""

import os
import pwd
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from traksense_ingest.ops.embedded.broker import Broker, mqtt_answers
from traksense_ingest.ops.embedded.ports import free_port
from traksense_ingest.ops.embedded.postgres import PostgresServer
from traksense_ingest.ops.embedded.redis import RedisServer
from traksense_ingest.ops.embedded.server import Server
from traksense_ingest.shared.errors import ConfigurationError

_POSTGRES = Path("/usr/lib/postgresql/15/bin")
_POSTGRES_SHARE = Path("/usr/share/postgresql/15")

_MOSQUITTO = """\
user {user}
listener {port} {host}
allow_anonymous true
log_dest stderr
set_tcp_nodelay true

persistence true
persistence_location {directory}/
autosave_interval 1

# 0 is unlimited: its defaults, 20 and 1000, drop what a slow subscriber has not read.
max_inflight_messages 1000
max_queued_messages 0
max_queued_bytes 0
"""


class DebianRedis(RedisServer):
    """Debian's redis-server."""

    name: ClassVar[str] = "debian-redis"

    @classmethod
    def installed(cls) -> bool:
        """Whether this machine has it."""
        return find("redis-server") is not None

    def _binary(self) -> Path:
        return Path(_program("redis-server"))


class DebianPostgres(PostgresServer):
    """Debian's PostgreSQL 15, with TimescaleDB loaded if that is installed."""

    name: ClassVar[str] = "debian-postgres"

    @classmethod
    def installed(cls) -> bool:
        """Whether this machine has it."""
        return (_POSTGRES / "postgres").exists()

    @property
    def has_timescaledb(self) -> bool:
        """Whether `CREATE EXTENSION timescaledb` would work."""
        return (_POSTGRES_SHARE / "extension" / "timescaledb.control").exists()

    def _bin(self) -> Path:
        return _POSTGRES

    def _installed(self) -> list[Path]:
        return []  # Debian's are for everybody to run

    def _settings(self) -> dict[str, str]:
        timescaledb = {"shared_preload_libraries": "timescaledb", "timescaledb.telemetry_level": "off"}
        return (timescaledb if self.has_timescaledb else {}) | super()._settings()


class Mosquitto(Server):
    """Debian's Mosquitto for MQTT 3.1.1 and 5 on one port; sessions are saved every second and on stop."""

    name: ClassVar[str] = "mosquitto"
    orphan_signal: ClassVar[signal.Signals] = signal.SIGTERM  # it saves its sessions first

    @classmethod
    def installed(cls) -> bool:
        """Whether this machine has it."""
        return find("mosquitto") is not None

    @property
    def url(self) -> str:
        """`mqtt://127.0.0.1:PORT`, for both versions of the protocol."""
        return f"mqtt://{self.host}:{self.port}"

    @property
    def _config_path(self) -> Path:
        return self.directory / "mosquitto.conf"

    def _prepare(self) -> None:
        user = pwd.getpwuid(os.geteuid()).pw_name  # as root it would become a user that can't write here
        config = _MOSQUITTO.format(user=user, host=self.host, port=self.port, directory=self.directory)
        self._config_path.write_text(config)

    def _command(self) -> list[str]:
        return [_program("mosquitto"), "-c", str(self._config_path)]

    def _answers(self) -> bool:
        return mqtt_answers(self.port)


def find(program: str) -> str | None:
    """Its path, even if only root has it in PATH; None if it is not installed."""
    return shutil.which(program, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin")


def _program(name: str) -> str:
    path = find(name)
    if path is None:
        raise ConfigurationError(f"{name} is not installed")
    return path


@dataclass(frozen=True)
class Services:
    """Makes servers of one kind, each in a directory of its own."""

    name: str
    broker_type: type[Server]
    redis_type: type[RedisServer]
    postgres_type: type[PostgresServer] | type[DebianPostgres]

    def broker(self, directory: Path) -> Server:
        """A broker that isn't started yet."""
        if issubclass(self.broker_type, Broker):
            return self.broker_type(directory / "broker", free_port(), free_port())
        return self.broker_type(directory / "broker", free_port())

    def redis(self, directory: Path) -> RedisServer:
        """A Redis that isn't started yet."""
        return self.redis_type(directory / "redis", free_port())


EMBEDDED = Services("embedded", Broker, RedisServer, PostgresServer)
DEBIAN = Services("debian", Mosquitto, DebianRedis, DebianPostgres)


def missing(services: Services) -> list[str]:
    """Which of these are not installed here."""
    kinds = (services.broker_type, services.redis_type, services.postgres_type)
    return [kind.__name__ for kind in kinds if not getattr(kind, "installed", lambda: True)()]
