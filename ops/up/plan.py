"""Which servers `up` runs itself, on which ports, and which ones it uses because a variable names them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from traksense_ingest.ops.embedded import Broker, PostgresServer, RedisServer, Server
from traksense_ingest.ops.embedded.ports import port_is_free
from traksense_ingest.ops.embedded.redis_cluster import RedisCluster, cluster_options
from traksense_ingest.shared import ports as defaults
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.messages import ALL_FILTERS


@dataclass(frozen=True)
class Ports:
    """Where the embedded servers and the services listen, on 127.0.0.1."""

    mqtt: int
    mqtt5: int
    redis: int
    postgres: int
    metrics: int  # the first writer's; the receiver has the next one, and other writers those after it
    redis_ports: int = 1  # in a row
    writers: int = 1
    console: int = defaults.CONSOLE.default

    @property
    def receiver_metrics(self) -> int:
        """The receiver's."""
        return self.metrics + 1

    @property
    def all_writer_metrics(self) -> tuple[int, ...]:
        """Those of all writers."""
        return self.metrics, *range(self.metrics + 2, self.metrics + 1 + self.writers)

    @property
    def all_redis(self) -> range:
        """Of the one server, or of a cluster's nodes; the second half of these are the ones of its bus."""
        return range(self.redis, self.redis + self.redis_ports)

    def numbers(self) -> set[int]:
        """All of them."""
        single = {self.mqtt, self.mqtt5, self.postgres, self.receiver_metrics, self.console}
        return single.union(self.all_redis, self.all_writer_metrics)

    def width(self, name: str) -> int:
        """How many ports in a row have this name."""
        return {"metrics": 1 + self.writers, "redis": self.redis_ports}.get(name, 1)


CLUSTER_NODES = 6  # three masters, each with a replica
CLUSTER_SHARDS = 9  # three times as many as masters: each will have some (docs/redis.md)

_MOVABLE = {
    "mqtt": defaults.MQTT,
    "mqtt5": defaults.MQTT5,
    "redis": defaults.REDIS,
    "postgres": defaults.POSTGRES,
    "metrics": defaults.WRITER_METRICS,
    "console": defaults.CONSOLE,
}


@dataclass(frozen=True)
class Plan:
    """The embedded servers to start, and the environment of the services.

    The broker is separate: it keeps messages in memory only, so it runs no longer than the receiver that takes them.
    """

    stores: tuple[Server, ...]  # Redis and PostgreSQL
    brokers: tuple[Server, ...]  # one, or none when MQTT_URL names another
    environment: Mapping[str, str]
    chosen: Mapping[str, str]  # the part of it that options have chosen, and other commands need too
    cluster: RedisCluster | None = None  # some of the stores

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

    @property
    def migrate_variable(self) -> str:
        """The variable with the URL that migrations use; the embedded PostgreSQL has no second one."""
        is_ours = any(isinstance(server, PostgresServer) for server in self.stores)
        return "DATABASE_URL" if is_ours or not self.environment.get("MIGRATE_DATABASE_URL") else "MIGRATE_DATABASE_URL"


def make_plan(
    settings: Settings, ports: Ports, directory: Path, *, shards: int | None = None, is_cluster: bool = False
) -> Plan:
    """An embedded server for each one that no variable names; `shards` is what an option says.

    From its own broker the receiver takes states and commands too, unless MQTT_TOPICS says otherwise.
    """
    named = settings.model_fields_set
    cluster = _cluster(ports, directory) if is_cluster else None
    broker = Broker(directory / "broker", ports.mqtt, ports.mqtt5)
    redis = RedisServer(directory / "redis", ports.redis)
    postgres = PostgresServer(directory / "postgres", ports.postgres)
    broker_url = broker.v5_url if settings.mqtt_protocol == "5" else broker.url
    ours = {
        "MQTT_URL": broker_url or broker.url,
        "REDIS_URL": cluster.url if cluster else redis.url,
        "DATABASE_URL": postgres.url,
    }
    urls = {name: getattr(settings, name.lower()) if name.lower() in named else url for name, url in ours.items()}
    stores: dict[str, Sequence[Server]] = {
        "redis_url": cluster.nodes if cluster else [redis],
        "database_url": [postgres],
    }
    chosen = _chosen(named, shards, is_cluster=is_cluster)
    topics = {} if {"mqtt_url", "mqtt_topics"} & named else {"MQTT_TOPICS": ",".join(ALL_FILTERS)}
    return Plan(
        stores=tuple(server for name, servers in stores.items() if name not in named for server in servers),
        brokers=() if "mqtt_url" in named else (broker,),
        environment={**os.environ, **urls, **topics, **chosen, "METRICS_HOST": "127.0.0.1", "PYTHONUNBUFFERED": "1"},
        chosen=chosen,
        cluster=cluster,
    )


def _cluster(ports: Ports, directory: Path) -> RedisCluster:
    nodes = []
    for number, port in enumerate(ports.all_redis[:CLUSTER_NODES], 1):
        options = {**cluster_options(port + CLUSTER_NODES), "cluster-require-full-coverage": "no"}
        node = RedisServer(directory / f"redis-{number}", port, options)
        node.label = f"redis-{number}"
        nodes.append(node)
    return RedisCluster(nodes)


def _chosen(named: Collection[str], shards: int | None, *, is_cluster: bool) -> dict[str, str]:
    if shards is None and is_cluster and "ingest_shards" not in named:
        shards = CLUSTER_SHARDS
    chosen = {} if shards is None else {"INGEST_SHARDS": str(shards)}
    return chosen | ({"INGEST_REPLICAS": "1"} if is_cluster and "ingest_replicas" not in named else {})


def with_free_ports(
    usual: Ports, movable: Collection[str], is_free: Callable[[int], bool] = port_is_free
) -> tuple[Ports, list[str]]:
    """The ports to use, and a line for each that is not the usual one; those not in `movable` stay as they are.

    `movable` has names of `Ports`; those with a width move together.
    """
    ports, lines = usual, []
    for name, default in _MOVABLE.items():
        if name not in movable:
            continue
        first = getattr(usual, name)
        width = usual.width(name)
        if not _are_free(first, width, is_free):
            others = usual.numbers() | ports.numbers()
            chosen = next(port for port in count(first + 1) if _fits(port, width, others, is_free))
            ports = replace(ports, **{name: chosen})
            taken = next(port for port in range(first, first + width) if not is_free(port))
            lines.append(_line(default, taken, chosen))
    return ports, lines


def _fits(first: int, width: int, others: set[int], is_free: Callable[[int], bool]) -> bool:
    return others.isdisjoint(range(first, first + width)) and _are_free(first, width, is_free)


def _are_free(first: int, width: int, is_free: Callable[[int], bool]) -> bool:
    return all(is_free(port) for port in range(first, first + width))


def _line(port: defaults.Port, taken: int, chosen: int) -> str:
    use_theirs = f"; set {port.url_variable} to use what listens there" if port.url_variable else ""
    sets_another = f"{port.variable} sets another port{use_theirs}"
    return f"port {taken} is taken by another program: {port.label} on {chosen} ({sets_another})"
