"""One session of the database: at the first host that is suitable, through a connection pooler as well as without one.

A pooler with `pool_mode = transaction` gives each transaction another session of the server, so nothing of ours may
outlive one: no named statement, no setting and no lock of a session. Nor may a connection begin with parameters that
poolers refuse (pgbouncer takes `application_name` and a few more).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncpg

from traksense_ingest.shared.database_url import DatabaseUrl, Host
from traksense_ingest.shared.failure import Kind, describe, is_permanent, kind_of

# A peer whose machine is gone is noticed after 10 + 4 · 5 s.
KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4}

# Arrays of PostgreSQL's own types: oid, name, the element's oid. asyncpg would ask each session for them, and switches
# the session's JIT off and on for it.
_ARRAYS = (
    (1000, "_bool", 16),
    (1001, "_bytea", 17),
    (1005, "_int2", 21),
    (1007, "_int4", 23),
    (1016, "_int8", 20),
    (1021, "_float4", 700),
    (1022, "_float8", 701),
    (1185, "_timestamptz", 1184),
    (3807, "_jsonb", 3802),
)
_ARRAY = {"ns": "pg_catalog", "elemdelim": ",", "range_subtype": None, "attrtypoids": None, "basetype": None}

_STATE = "SELECT pg_is_in_recovery() AS is_standby, current_setting('transaction_read_only') = 'on' AS is_read_only"

# Why a host can't be used; None: it can.
_OBJECTIONS: dict[str, Callable[[Any], str | None]] = {
    "any": lambda _: None,
    "read-write": lambda state: "it is a standby" if state["is_standby"] else _read_only(state),
    "read-only": lambda state: None if state["is_read_only"] else "it takes writes",
    "primary": lambda state: "it is a standby" if state["is_standby"] else None,
    "standby": lambda state: None if state["is_standby"] else "it is no standby",
}


class NoServer(ConnectionError):
    """None of the hosts that a URL names can be used; the message says why of each."""


class Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """asyncpg's, that notices when the server's machine is gone and knows the types of our statements."""

    def __init__(self, protocol: Any, transport: Any, *others: Any) -> None:
        super().__init__(protocol, transport, *others)
        self.get_settings().register_data_types(
            [_ARRAY | {"oid": oid, "name": name, "elemtype": element} for oid, name, element in _ARRAYS]
        )
        _keep_alive(transport.get_extra_info("socket"))


async def open_session(url: str, *, timeout: float, **options: Any) -> Any:
    """A connection to the first host that is reachable and what `target_session_attrs` asks for: by default, if the URL
    names several, one that takes writes.

    `timeout` is how many seconds each host has, unless the URL has a `connect_timeout`; `options` are asyncpg's. Raises
    what asyncpg raises, of several hosts NoServer.
    """
    target = DatabaseUrl.parse(url)
    options |= {"connection_class": Connection, "statement_cache_size": 0}

    def connect(host: Host | None, attribute: str) -> Awaitable[Any]:
        # Which of them is taken is asked below: asyncpg believes what a pooler remembers.
        address = {"host": host.name, "port": host.port, "target_session_attrs": "any"} if host else {}
        return _connect(attribute, target.timeout or timeout, dsn=target.rest, **address, **options)

    if target.session != "prefer-standby":
        return await _first(target.hosts, lambda host: connect(host, target.session))
    try:
        return await _first(target.hosts, lambda host: connect(host, "standby"))
    except NoServer:
        return await _first(target.hosts, lambda host: connect(host, "any"))


async def _first(hosts: Sequence[Host], connect: Callable[[Host | None], Awaitable[Any]]) -> Any:
    if not hosts:
        return await connect(None)
    refusals = []
    for host in hosts:
        try:
            return await connect(host)
        except Exception as error:
            if kind_of(error) is not Kind.OUTAGE or is_permanent(error) or len(hosts) == 1:
                raise
            refusals.append(f"{host}: {describe(error)}")
    raise NoServer("; ".join(refusals))


async def _connect(attribute: str, timeout_s: float, **arguments: Any) -> Any:
    try:
        async with asyncio.timeout(timeout_s):
            connection = await asyncpg.connect(**arguments, timeout=None)
            await _require(connection, attribute)
            return connection
    except TimeoutError as error:
        raise TimeoutError(str(error) or f"no answer within {timeout_s:g} s") from None


async def _require(connection: Any, attribute: str) -> None:
    if attribute == "any":
        return
    try:
        if objection := _OBJECTIONS[attribute](await connection.fetchrow(_STATE)):
            raise NoServer(objection)
    except BaseException:
        connection.terminate()
        raise


def _read_only(state: Any) -> str | None:
    return "it is read-only" if state["is_read_only"] else None


def _keep_alive(connection: socket.socket | None) -> None:
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if option := getattr(socket, name, None):  # macOS and Windows lack some
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
