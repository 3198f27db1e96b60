"""Redis's faults: of one server, of a cluster, and of a master that Sentinels watch."""

from __future__ import annotations

import signal

from tests.chaos.fault import DOWN, Fault, of_link, receivers
from tests.chaos.inflict import ended, failed_over, killed, meanwhile, one_server, redis_full
from tests.chaos.inflict_nodes import (
    cluster_failover,
    master_frozen,
    master_killed,
    master_separated,
    replica_killed,
    sentinel_failover,
    sentinel_killed,
    slots_moved,
)
from tests.chaos.pipeline import Pipeline
from tests.chaos.signs import logged_by_receivers
from traksense_ingest.ops.embedded import Server

_DOWN = DOWN["redis"]
_WAITS = logged_by_receivers("0 of 1 replica", " has 0 replicas")  # a batch waits; or none is appended


def _redis(pipeline: Pipeline) -> Server:
    return one_server(pipeline).server


def _of_several(layout: str) -> tuple[Fault, ...]:
    return (
        Fault(f"{layout}: master, kill -9", master_killed, _DOWN, shown="redis"),
        Fault(f"{layout}: replica, kill -9", replica_killed, _WAITS, shown="redis"),
        Fault(f"{layout}: master frozen, wakes up", master_frozen, _DOWN),
        Fault(f"{layout}: master separated, and back", master_separated, _WAITS, shown="redis"),
    )


OF_REDIS = {
    "server": (
        Fault("redis: kill -9", ended(_redis, signal.SIGKILL), _DOWN, shown="redis"),
        Fault("redis: stopped", ended(_redis, signal.SIGTERM), _DOWN, shown="redis"),
        Fault("redis: maxmemory", redis_full, _DOWN, shown="redis"),
        Fault("redis: failover, connections survive", failed_over, _DOWN, passes_by_itself=True),
        Fault(
            "redis: down; receiver: kill -9",
            meanwhile(ended(_redis, signal.SIGTERM), killed(receivers)),
            _DOWN,
            lasts_s=1.0,
            shown="redis",
        ),
        *of_link("redis", is_slow=False),
    ),
    "cluster": (
        *_of_several("cluster"),
        Fault("cluster: CLUSTER FAILOVER", cluster_failover(), _DOWN, passes_by_itself=True),
        Fault("cluster: CLUSTER FAILOVER FORCE", cluster_failover("FORCE"), _DOWN, passes_by_itself=True),
        Fault("cluster: CLUSTER FAILOVER TAKEOVER", cluster_failover("TAKEOVER"), _DOWN, passes_by_itself=True),
        Fault("cluster: slots moved", slots_moved, _DOWN, passes_by_itself=True),
    ),
    "sentinel": (
        *_of_several("sentinel"),
        Fault("sentinel: SENTINEL FAILOVER", sentinel_failover, _DOWN, passes_by_itself=True),
        Fault("sentinel: a Sentinel, kill -9", sentinel_killed),
    ),
}
