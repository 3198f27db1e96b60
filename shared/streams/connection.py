"""A connection to Redis that ends with the outage that it met.

Behind a proxy or a Kubernetes Service a connection outlives a failover: it still leads to the server that was the
master. So a connection is not used again after an error reply, and after one about the server itself no connection of
the client is. The next one resolves the name again, and asks the server for its role before anything else.
"""

from __future__ import annotations

from typing import Any, ClassVar

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.connection import HiredisRespSerializer

from traksense_ingest.shared.database_url import Host
from traksense_ingest.shared.failure import NotServed, Unsupported
from traksense_ingest.shared.streams.redis_url import Kind
from traksense_ingest.shared.streams.topology import Locate, advice

# Error replies about the command alone: a script to be loaded, a group to be created, a permission that is missing.
_OF_COMMAND = frozenset({"NOSCRIPT", "NOGROUP", "NOPERM"})

# Error replies about the server, whatever the command was: another server may have taken its place.
_OF_SERVER = frozenset(
    {
        "BUSY",  # a script runs for too long
        "LOADING",  # it reads its data from disk, or from its master
        "MASTERDOWN",  # a replica without its master, and replica-serve-stale-data no
        "MISCONF",  # it can't write to its disk
        "NOREPLICAS",  # fewer replicas than min-replicas-to-write
        "OOM",  # maxmemory is reached
        "READONLY",  # it has become a replica
        "UNBLOCKED",  # … while we waited for entries
    }
)
# … and about a slot: another node has it, is about to, or none has.
_OF_SLOT = frozenset({"ASK", "CLUSTERDOWN", "MOVED", "TRYAGAIN"})
_OF_CLUSTER = _OF_SLOT | {"CROSSSLOT"}

_SLOT_ERRORS = {
    "ASK": "the slot is being moved to another node",
    "MOVED": "another node has the slot now",
    "TRYAGAIN": "the slot is being moved to another node",
}

_CLUSTER = "this is a node of a Redis Cluster; write redis+cluster://host:port"
_NO_CLUSTER = "this is not a node of a Redis Cluster; write redis://host:port"
_SENTINEL = "this is a Sentinel, which holds no data; write redis+sentinel://host:port/service"


class Server:
    """What all connections of one client know of their server."""

    def __init__(self, kind: Kind = Kind.SERVER, locate: Locate | None = None) -> None:
        """`locate` finds it, before each connection, where it may be another one each time."""
        self.kind = kind
        self.locate = locate
        self.outages = 0  # that its connections have met; each made before the last one is not used again


class Connection(AbstractConnection):
    """Mixed into the classes that redis-py has for TCP, TLS and Unix sockets."""

    server: ClassVar[Server]

    _outages = 0  # of the server, when this connection was made
    _has_failed = False

    def pack_command(self, *args: Any) -> list[bytes]:
        """By hiredis's serializer, which redis-py keeps for its client without asyncio (docs/performance.md)."""
        packed: list[bytes] = HiredisRespSerializer().pack(*args)
        return packed

    async def connect(self) -> None:
        """Called by the pool before each use: a connection that met an outage is replaced."""
        if self._has_failed or self._is_outdated:
            await self.disconnect(nowait=True)
        await super().connect()  # type: ignore[no-untyped-call]

    async def connect_check_health(self, *args: Any, **options: Any) -> None:
        """As redis-py's; what the search for the server has raised is raised as it is."""
        try:
            await super().connect_check_health(*args, **options)
        except exceptions.ConnectionError as error:
            if isinstance(error.__cause__, exceptions.RedisError):
                raise error.__cause__ from None
            raise

    async def _connect(self) -> None:
        if self.server.locate is not None:
            self.host, self.port = await self.server.locate()
        await super()._connect()  # type: ignore[no-untyped-call, safe-super]

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        """Authenticate, select the database, and check the server's mode and role.

        Raises Unsupported, and ReadOnlyError of a replica.
        """
        self._outages = self.server.outages
        await super().on_connect_check_health(check_health=check_health)
        await self._check_server()
        self._has_failed = False  # older servers refuse redis-py's CLIENT SETINFO

    async def send_packed_command(self, *args: Any, **options: Any) -> None:
        """Raises ConnectionError if another connection has met an outage: a caller that keeps this one for itself, so
        that it confirms its own writes, must know that the next one may lead to another server."""
        if self.is_connected and self._is_outdated:
            await self.disconnect(nowait=True)
            raise exceptions.ConnectionError("Redis refused to work on another connection, so this one was ended")
        await super().send_packed_command(*args, **options)

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """As redis-py's; notes which connections must not be used again."""
        try:
            return await super().read_response(*args, **options)
        except exceptions.RedisError as error:
            code = _code_of(error)
            if code in _OF_CLUSTER and self.server.kind is not Kind.CLUSTER:
                await self.disconnect(nowait=True)  # in a pipeline other replies may follow
                raise Unsupported(_CLUSTER) from error
            if code in _OF_SLOT:
                await self.disconnect(nowait=True)
                self._end_all()
                raise self._not_served(code, error) from error
            self._has_failed = code not in _OF_COMMAND
            if is_of_server(error) or isinstance(error, exceptions.TimeoutError):
                self._end_all()
            raise

    def _not_served(self, code: str, error: exceptions.RedisError) -> NotServed:
        host = Host(self.host, self.port)
        if code == "CLUSTERDOWN":
            return NotServed(f"CLUSTERDOWN: {host} says: {error}; {advice(host)}", status_code=code)
        return NotServed(f"{code}: {host} says: {_SLOT_ERRORS[code]}", status_code=code)

    @property
    def _is_outdated(self) -> bool:
        return self._outages != self.server.outages

    def _end_all(self) -> None:
        if not self._is_outdated:  # else it is about a server that the others have left already
            self.server.outages += 1

    async def _check_server(self) -> None:
        """HELLO, which every user may run."""
        try:
            await self.send_command("HELLO", check_health=False)
            reply: list[Any] = await self.read_response()
        except exceptions.AuthenticationError:
            raise exceptions.AuthenticationError("Authentication required.") from None
        except exceptions.ResponseError:  # a proxy that doesn't know the command
            return
        server = dict(zip(reply[::2], reply[1::2], strict=False))
        self._check_mode(server.get(b"mode", b""))
        if server.get(b"role") in (b"replica", b"slave"):
            raise exceptions.ReadOnlyError("this Redis is a replica, which takes no writes", status_code="READONLY")

    def _check_mode(self, mode: bytes) -> None:
        if mode == b"sentinel":
            raise Unsupported(_SENTINEL)
        is_cluster = self.server.kind is Kind.CLUSTER
        if is_cluster != (mode == b"cluster") and mode:
            raise Unsupported(_NO_CLUSTER if is_cluster else _CLUSTER)


def is_of_server(error: exceptions.RedisError) -> bool:
    """Whether the server as a whole refuses to work, whatever was asked."""
    return _code_of(error) in _OF_SERVER | _OF_SLOT


def _code_of(error: exceptions.RedisError) -> str:
    """The first word of an error reply; redis-py cuts it off those that it has a class for."""
    return error.status_code or str(error).partition(" ")[0]


def use(client: Redis, server: Server) -> None:
    """Make a client that has not connected yet use such connections."""
    pool: Any = client.connection_pool
    pool.connection_class = type("Connection", (Connection, pool.connection_class), {"server": server})


async def is_outdated(client: Redis) -> bool:
    """Whether the connection of a client that has a single one leads to a server that is no longer the master, as those
    say who know; False if they don't answer."""
    connection: Any = client.connection
    if connection is None or connection.server.locate is None:
        return False
    try:
        host = await connection.server.locate()
    except (exceptions.RedisError, OSError):
        return False
    return bool((host.name, host.port) != (connection.host, connection.port))


def address_of(client: Redis) -> str:
    """The address of the server to which a client with a single connection is connected."""
    connection: Any = client.connection
    return getattr(connection, "path", "") or f"{connection.host}:{connection.port}"


async def end(client: Redis) -> None:
    """End the connection of a client that has a single one: the next command makes another."""
    if client.connection:
        await client.connection.disconnect(nowait=True)
