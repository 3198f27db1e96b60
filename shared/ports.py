"""The ports on which the pipeline listens by default, and the variables that choose others.

Commands declare their options with it, so it imports nothing that takes time.
"""

from __future__ import annotations

from typing import NamedTuple


class Port(NamedTuple):
    """A port, the process that listens there, and the variables for it."""

    process: str
    label: str  # in a message about it
    default: int
    variable: str  # chooses another port
    url_variable: str | None = None  # names another server to use instead


MQTT = Port("broker", "the broker", 1883, "UP_MQTT_PORT", "MQTT_URL")
MQTT5 = Port("broker", "the broker's MQTT 5", 1884, "UP_MQTT5_PORT", "MQTT_URL")
REDIS = Port("redis", "redis", 6379, "UP_REDIS_PORT", "REDIS_URL")
POSTGRES = Port("postgres", "postgres", 5432, "UP_POSTGRES_PORT", "DATABASE_URL")
RECEIVER_METRICS = Port("receiver", "metrics", 9100, "METRICS_PORT")
WRITER_METRICS = Port("writer", "metrics", 9101, "METRICS_PORT")

PORTS = (MQTT, MQTT5, REDIS, POSTGRES, RECEIVER_METRICS, WRITER_METRICS)


def metrics_url(port: int, host: str = "localhost") -> str:
    """Where a service on this port serves its metrics."""
    return f"http://{host}:{port}/metrics"
