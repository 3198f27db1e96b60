"""Where the master is: of a slot of a Redis Cluster, or of a service that Sentinels watch.

It is looked up before each connection. redis-py's own client for clusters sends WAITAOF to any node, moves a
connection's commands to others and tries again by itself; its client for Sentinels, kept for one connection, keeps
connecting to the master from before a failover.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.connection import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from traksense_ingest.shared.database_url import Host
from traksense_ingest.shared.failure import NotServed, Unsupported
from traksense_ingest.shared.runtime.tasks import end_if_cancelled
from traksense_ingest.shared.streams.nodes import Node, parse_nodes

ANSWER_S = 2.0  # how long one node may take to connect, and to answer
FRESH_S = 0.1  # s: answers are reused for this long

T = TypeVar("T")

Slots = list[tuple[int, int, Host]]  # first slot, last slot, the master of these
Locate = Callable[[], Awaitable[Host]]


class NoMaster(exceptions.ConnectionError):
    """No node says which one is the master. An outage."""


class NoMasterKnown(NoMaster, NotServed):
    """The nodes that answered say so."""


def advice(node: Host) -> str:
    """Where to look, in the state that a node of a cluster sees."""
    return f"see `redis-cli -h {node.name} -p {node.port} cluster info` and `cluster nodes`"


class Nodes(ABC):
    """Those that know where a master is, asked one after another; the one that answered last is the first."""

    def __init__(self, hosts: Iterable[Host], connection_class: type, options: Mapping[str, Any]) -> None:
        """`options` are those of a connection."""
        self._named = tuple(hosts)
        self._known = list(self._named)
        self._connection_class = connection_class
        self._options = {**options, "socket_timeout": ANSWER_S, "socket_connect_timeout": ANSWER_S}

    async def ask_each(self, question: Callable[[Redis, Host], Awaitable[T | None]]) -> T:
        """The first answer that isn't None. Raises what the last node raised, or NoMaster."""
        last: Exception = NoMasterKnown(self._no_answer())
        for host in tuple(self._known):
            try:
                answer = await self._ask(host, question)
            except (exceptions.RedisError, OSError, TimeoutError) as error:
                end_if_cancelled()
                last = self._error(host, error)
                continue
            if answer is not None:
                self._known.remove(host)
                self._known.insert(0, host)
                return answer
        raise last

    async def _ask(self, host: Host, question: Callable[[Redis, Host], Awaitable[T]]) -> T:
        options = {**self._options, "host": host.name, "port": host.port, "retry": Retry(NoBackoff(), 0)}
        client: Redis = Redis(connection_pool=ConnectionPool(connection_class=self._connection_class, **options))
        try:
            return await question(client, host)
        finally:
            await client.aclose()
            await client.connection_pool.disconnect()

    def _error(self, host: Host, error: Exception) -> Exception:
        if isinstance(error, exceptions.ResponseError | exceptions.AuthenticationError | Unsupported):
            return error
        return NoMaster(f"{host}: {error}" if str(host) not in str(error) else str(error))

    @abstractmethod
    def _no_answer(self) -> str:
        """What is wrong when every node answered, and none knew."""


class Sentinels(Nodes):
    """Sentinels, and the service whose master they know."""

    def __init__(self, hosts: Iterable[Host], service: str, connection_class: type, options: Mapping[str, Any]) -> None:
        super().__init__(hosts, connection_class, {**options, "db": 0})
        self._service = service

    async def locate(self) -> Host:
        """The master. Raises NoMaster, also where no Sentinel knows the service."""
        return await self.ask_each(self._master)

    async def _master(self, sentinel: Redis, _host: Host) -> Host | None:
        try:
            reply: Any = await sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service)  # type: ignore[no-untyped-call]
        except exceptions.ResponseError as error:
            if "unknown command" in str(error).lower():
                raise Unsupported("this is not a Sentinel; write redis://… for a server") from error
            raise
        return Host(_text(reply[0]), int(reply[1])) if reply else None

    def _no_answer(self) -> str:
        sentinel = self._known[0]
        known = f"`redis-cli -h {sentinel.name} -p {sentinel.port} sentinel masters` shows those that it knows"
        return f"no Sentinel knows a master of the service {self._service!r}; {known}"


class Cluster(Nodes):
    """The nodes of a Redis Cluster: those of the URL, and those that they name."""

    def __init__(self, hosts: Iterable[Host], connection_class: type, options: Mapping[str, Any]) -> None:
        super().__init__(hosts, connection_class, options)
        self._answer: Slots | Exception = []
        self._asked_at = 0.0
        self._asking = asyncio.Lock()

    async def locate(self, slot: int) -> Host:
        """The master of a slot, as the cluster says now. Raises NoMaster where it has none."""
        for first, last, host in await self.slots():
            if first <= slot <= last:
                return host
        answered = self._known[0]
        raise NoMasterKnown(f"{answered} says: no node of the cluster serves slot {slot}; {advice(answered)}")

    async def nodes(self) -> list[Node]:
        """All nodes, as one sees them that can reach the majority of masters, if there is one. Raises what `ask_each`
        does."""
        try:
            return await self.ask_each(_nodes_if_ok)
        except NoMaster:
            return await self.ask_each(_nodes)

    async def slots(self) -> Slots:
        """All slots, as the cluster says now; those who ask at the same time get one answer, or one error."""
        async with self._asking:
            if time.monotonic() - self._asked_at > FRESH_S:
                try:
                    self._answer = await self._agreed()
                except exceptions.RedisError as error:
                    self._answer = error
                self._asked_at = time.monotonic()
            if isinstance(self._answer, Exception):
                raise self._answer
            return self._answer

    async def _agreed(self) -> Slots:
        """Of a node that can reach the majority of masters, if there is one: others may not know of a failover."""
        try:
            slots = await self.ask_each(_slots_if_ok)
        except NoMaster:
            slots = await self.ask_each(_slots)
        answered, masters = self._known[0], (host for _, _, host in slots)
        self._known = [*dict.fromkeys((answered, *masters, *self._named))]  # without those that were replaced
        return slots

    def _no_answer(self) -> str:
        return "no node of the cluster can reach the majority of masters"


async def _nodes_if_ok(node: Redis, host: Host) -> list[Node] | None:
    pipeline: Any = node.pipeline(transaction=False)
    pipeline.execute_command("CLUSTER", "INFO").execute_command("CLUSTER", "NODES")
    info, reply = await _replies(pipeline)
    return parse_nodes(_text(reply), host) if b"cluster_state:ok" in info else None


async def _nodes(node: Redis, host: Host) -> list[Node]:
    pipeline: Any = node.pipeline(transaction=False)
    pipeline.execute_command("CLUSTER", "NODES")
    (reply,) = await _replies(pipeline)
    return parse_nodes(_text(reply), host)


async def _slots_if_ok(node: Redis, host: Host) -> Slots | None:
    pipeline: Any = node.pipeline(transaction=False)
    pipeline.execute_command("CLUSTER", "INFO").execute_command("CLUSTER", "SLOTS")
    info, slots = await _replies(pipeline)
    return _parsed(slots, host) if b"cluster_state:ok" in info else None


async def _slots(node: Redis, host: Host) -> Slots:
    pipeline = node.pipeline(transaction=False)
    pipeline.execute_command("CLUSTER", "SLOTS")
    (slots,) = await _replies(pipeline)
    return _parsed(slots, host)


async def _replies(pipeline: Any) -> list[Any]:
    try:
        return list(await pipeline.execute())
    except exceptions.ResponseError as error:
        if "cluster support disabled" in str(error):
            raise Unsupported("this is not a node of a Redis Cluster; write redis://… for a server") from error
        raise


def _parsed(reply: Iterable[Any], asked: Host) -> Slots:
    """A node that doesn't know its own address reports none: it is the one that was asked. One that should have a host
    name, and has none, is `?`."""
    slots = [
        (int(first), int(last), Host(_text(master[0] or b"") or asked.name, int(master[1])))
        for first, last, master, *_ in reply
    ]
    if any(host.name == "?" for _, _, host in slots):
        raise Unsupported("a node of the cluster has no host name; set cluster-announce-hostname on each")
    return slots


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
