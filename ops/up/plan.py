"""What `up` runs itself, on which ports, and what it uses because a variable names it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ops.embedded import Broker, PostgresServer, RedisServer, Server
from shared.config import Settings


@dataclass(frozen=True)
class Ports:
    """Where the embedded parts and the services listen, on 127.0.0.1."""

    mqtt: int
    mqtt5: int
    redis: int
    postgres: int
    receiver_metrics: int
    writer_metrics: int


# What to say when one of them is taken: the variable that moves our own, and the one that names another's.
VARIABLES = {
    "broker": ("UP_MQTT_PORT and UP_MQTT5_PORT", "MQTT_URL"),
    "redis": ("UP_REDIS_PORT", "REDIS_URL"),
    "postgres": ("UP_POSTGRES_PORT", "DATABASE_URL"),
    "receiver": ("METRICS_PORT", None),
    "writer": ("METRICS_PORT", None),
}


@dataclass(frozen=True)
class Plan:
    """The embedded servers to start, in order, and the environment of the services."""

    servers: tuple[Server, ...]
    environment: Mapping[str, str]

    @property
    def mqtt_url(self) -> str:
        """Where devices publish."""
        return self.environment["MQTT_URL"]

    @property
    def redis_url(self) -> str:
        """Where the streams are."""
        return self.environment["REDIS_URL"]

    @property
    def database_url(self) -> str:
        """Where the rows go."""
        return self.environment["DATABASE_URL"]


def make_plan(settings: Settings, ports: Ports, directory: Path) -> Plan:
    """Embedded parts for all that no variable names."""
    named = settings.model_fields_set
    broker = Broker(directory / "broker", ports.mqtt, ports.mqtt5)
    redis = RedisServer(directory / "redis", ports.redis)
    postgres = PostgresServer(directory / "postgres", ports.postgres)
    broker_url = broker.v5_url if settings.mqtt_protocol == "5" else broker.url
    choices = (
        ("mqtt_url", broker, broker_url or broker.url),
        ("redis_url", redis, redis.url),
        ("database_url", postgres, postgres.url),
    )
    urls = {name.upper(): getattr(settings, name) if name in named else url for name, _, url in choices}
    return Plan(
        tuple(server for name, server, _ in choices if name not in named),
        {**os.environ, **urls, "METRICS_HOST": "127.0.0.1", "PYTHONUNBUFFERED": "1"},
    )


def advice(name: str, port: int) -> str:
    """What to do about a port that another program has."""
    ours, theirs = VARIABLES.get(name, ("METRICS_PORT", None))
    use_theirs = f", set {theirs} to use what listens there" if theirs else ""
    return f"port {port} ({name}) is taken by another program: stop it{use_theirs}, or set {ours} to move ours"
