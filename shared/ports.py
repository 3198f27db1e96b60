"""The ports on which the pipeline listens by default, and the variables that choose others.

Commands declare their options with it, so it imports nothing that takes time.
"""

from __future__ import annotations

from typing import NamedTuple

LAST_PORT = 65_535


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
WRITER_METRICS = Port("writer", "metrics", 9100, "METRICS_PORT")
RECEIVER_METRICS = Port("receiver", "metrics", 9101, "METRICS_PORT")
CONSOLE = Port("console", "the console", 9180, "CONSOLE_PORT")

PORTS = (MQTT, MQTT5, REDIS, POSTGRES, WRITER_METRICS, RECEIVER_METRICS, CONSOLE)


def metrics_url(port: int, host: str = "localhost") -> str:
    """Where a service on this port serves its metrics."""
    return f"http://{host}:{port}/metrics"


def metrics_ports(service: Port, chosen: int | None) -> tuple[int, ...]:
    """Where this service of a host may serve its metrics, the likeliest first; `chosen` is METRICS_PORT, if it is set.

    On that port or, if the other service has it, on the next one. That variable may be another process's: so the
    default ports come last.
    """
    defaults = service.default, WRITER_METRICS.default, RECEIVER_METRICS.default
    ports = (port for first in (chosen or service.default, *defaults) for port in (first, first + 1))
    return tuple(dict.fromkeys(port for port in ports if port <= LAST_PORT))
