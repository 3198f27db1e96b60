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
    """The embedded servers to start, and the environment of the services.

    The broker is apart: it keeps messages in memory only, so it runs no longer than there is a receiver for them.
    """

    stores: tuple[Server, ...]  # Redis and PostgreSQL
    brokers: tuple[Server, ...]  # one, or none when MQTT_URL names another
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
    ours = {"MQTT_URL": broker_url or broker.url, "REDIS_URL": redis.url, "DATABASE_URL": postgres.url}
    urls = {name: getattr(settings, name.lower()) if name.lower() in named else url for name, url in ours.items()}
    stores = {"redis_url": redis, "database_url": postgres}
    return Plan(
        stores=tuple(server for name, server in stores.items() if name not in named),
        brokers=() if "mqtt_url" in named else (broker,),
        environment={**os.environ, **urls, "METRICS_HOST": "127.0.0.1", "PYTHONUNBUFFERED": "1"},
    )


def advice(name: str, port: int) -> str:
    """What to do about a port that another program has."""
    ours, theirs = VARIABLES.get(name, ("METRICS_PORT", None))
    use_theirs = f", set {theirs} to use what listens there" if theirs else ""
    return f"port {port} ({name}) is taken by another program: stop it{use_theirs}, or set {ours} to move ours"
