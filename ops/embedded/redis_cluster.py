"""A Redis Cluster on this machine: masters that share the slots, and replicas of each."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from traksense_ingest.ops.embedded.redis import RedisServer
from traksense_ingest.ops.embedded.server import ServerFailed

SLOTS = 16384
NODE_TIMEOUT_MS = 5_000  # without an answer, until a node counts as failed and its replica takes over
START_TIMEOUT_S, POLL_S = 60.0, 0.05
ANSWER_S = 5.0

_NODE = re.compile(r"^([0-9a-f]{40}) [^ ,]*:\d+@\d+", re.MULTILINE)  # in nodes.conf: its id and its address


def cluster_options(bus_port: int, node_timeout_ms: int = NODE_TIMEOUT_MS) -> dict[str, str]:
    """The options of a node; with the others it talks over the bus port."""
    return {
        "cluster-enabled": "yes",
        "cluster-port": str(bus_port),
        "cluster-node-timeout": str(node_timeout_ms),
        "repl-diskless-sync-delay": "0",
    }


class RedisCluster:
    """Nodes with `cluster_options`, whom others start and stop."""

    def __init__(self, nodes: Sequence[RedisServer], replicas: int = 1, slots: Sequence[range] | None = None) -> None:
        """The first of them are the masters until one fails, the others their replicas, so many of each; `slots` are
        those of each master, which are equal shares if they are not given."""
        count = len(nodes) // (1 + replicas)
        self.masters, self.replicas = [*nodes[:count]], [*nodes[count:]]
        self._replicas_each = replicas
        self._slots = slots or [range(SLOTS * n // count, SLOTS * (n + 1) // count) for n in range(count)]
        self._formed = nodes[0].directory / "cluster-formed"  # a file: its data count from then on

    @property
    def nodes(self) -> list[RedisServer]:
        """All of them."""
        return [*self.masters, *self.replicas]

    @property
    def url(self) -> str:
        """With all nodes in it."""
        return f"redis+cluster://{','.join(f'{node.host}:{node.port}' for node in self.nodes)}"

    def prepare(self) -> None:
        """Before the nodes start: what an earlier run has left is adapted to the ports of this one; a cluster that was
        never complete begins again."""
        if self._formed.exists():
            self._adapt_addresses()
            return
        for node in self.nodes:
            shutil.rmtree(node.directory, ignore_errors=True)

    def form(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Make a cluster of the nodes that have started, unless they are one, and wait until all slots are served and
        each master has its replicas. Raises ServerFailed."""
        if not self._formed.exists():
            self._introduce(sleep)
        self._wait(self._is_ok, sleep)
        self._wait(self._has_replicas, sleep)
        self._formed.touch()

    def _introduce(self, sleep: Callable[[float], None]) -> None:
        for number, (master, slots) in enumerate(zip(self.masters, self._slots, strict=True), 1):
            _ask(master, "CLUSTER", "ADDSLOTSRANGE", str(slots[0]), str(slots[-1]))
            _ask(master, "CLUSTER", "SET-CONFIG-EPOCH", str(number))
        first, *others = self.nodes
        for node in others:
            _ask(node, "CLUSTER", "MEET", first.host, *_announced_ports(first))
        for master, replica in zip(cycle(self.masters), self.replicas, strict=False):
            id_ = _ask(master, "CLUSTER", "MYID").decode()
            self._wait(lambda replica=replica, id_=id_: _replicates(replica, id_), sleep)  # type: ignore[misc]

    def _is_ok(self) -> bool:
        """Whether every node sees all slots served."""
        return all(b"cluster_state:ok" in _ask(node, "CLUSTER", "INFO") for node in self.nodes)

    def _has_replicas(self) -> bool:
        """Whether each master has replicas that have caught up."""
        masters = [node for node in self.nodes if _ask(node, "ROLE")[0] == b"master"]
        return all(_ask(node, "WAIT", str(self._replicas_each), "100") >= self._replicas_each for node in masters)

    def _wait(self, condition: Callable[[], bool], sleep: Callable[[float], None]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _holds(condition):
            if time.monotonic() > deadline:
                raise ServerFailed("the Redis Cluster", self.nodes[0].log_tail())
            sleep(POLL_S)

    def _adapt_addresses(self) -> None:
        """In each node's nodes.conf: it has found the others by their addresses, which are other ones now."""
        addresses = dict(self._addresses())
        for node in self.nodes:
            path = node.directory / "nodes.conf"
            text = path.read_text() if path.exists() else ""
            path.write_text(_NODE.sub(lambda found: f"{found[1]} {addresses.get(found[1], found[0][41:])}", text))

    def _addresses(self) -> Iterator[tuple[str, str]]:
        """By each node's id."""
        for node in self.nodes:
            path = node.directory / "nodes.conf"
            text = path.read_text() if path.exists() else ""
            for line in text.splitlines():
                if "myself" in line:
                    yield line.split()[0], f"{node.host}:{node.port}@{node.options['cluster-port']}"


def _announced_ports(node: RedisServer) -> tuple[str, str]:
    """Where others reach it, and its bus."""
    options = node.options
    port = options.get("cluster-announce-port", str(node.port))
    return port, options.get("cluster-announce-bus-port", options["cluster-port"])


def _ask(node: RedisServer, *words: str) -> Any:
    """A command on a node, over a connection of its own. Raises what redis-py raises."""
    with Redis.from_url(node.url, protocol=2, socket_timeout=ANSWER_S) as client:
        return client.execute_command(*words)


def _holds(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except (RedisError, OSError):
        return False


def _replicates(replica: RedisServer, master_id: str) -> bool:
    """Raises what redis-py raises while it hasn't met that node."""
    _ask(replica, "CLUSTER", "REPLICATE", master_id)
    return True
