"""REDIS_URL: a server, the nodes of a Redis Cluster, or Sentinels and the service that they watch.

redis-py reads what is left when there is one server. The other forms are those that limits, Prefect and others use:
`redis+cluster://user:password@host:port,host:port` and
`redis+sentinel://user:password@host:port,host:port/service/db?sentinel_username=…&sentinel_password=…`; with `rediss+`
all connections use TLS.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from traksense_ingest.shared.database_url import Host

REDIS_PORT, SENTINEL_PORT = 6379, 26379
SINGLE_SCHEMES = ("redis", "rediss", "unix")

_SENTINEL_PARAMETERS = ("sentinel_username", "sentinel_password")
_URL = re.compile(
    r"(?P<scheme>rediss?)\+(?P<kind>cluster|sentinel)://(?:(?P<user_info>[^@/?#]*)@)?(?P<hosts>[^@/?#]+)"
    r"(?P<path>/[^?#@]*)?(?:\?(?P<query>[^#]*))?",
    re.IGNORECASE,
)
_HOST = re.compile(r"(?:\[(?P<bracketed>[0-9a-fA-F:.%]+)\]|(?P<plain>[^:\[\]]+))(?::(?P<port>\d+))?")


class Kind(Enum):
    """What REDIS_URL leads to."""

    SERVER = "server"
    CLUSTER = "cluster"
    SENTINEL = "sentinel"


class RedisUrl(NamedTuple):
    """A URL, taken apart."""

    kind: Kind
    server: str  # as redis-py reads it; of a cluster or a Sentinel, with the first host of the list
    hosts: tuple[Host, ...] = ()  # nodes of a cluster, or Sentinels, in the order in which they are asked
    service: str = ""  # the name by which Sentinels know the master
    sentinel_user: str | None = None
    sentinel_password: str | None = None

    @classmethod
    def parse(cls, url: str) -> RedisUrl:
        """Raises ValueError for what has none of the forms."""
        if url.partition("://")[0].lower() in SINGLE_SCHEMES:
            return cls(Kind.SERVER, _single(url))
        found = _URL.fullmatch(url)
        if found is None:
            raise ValueError("not a Redis URL")
        kind = Kind(found["kind"].lower())
        default_port = REDIS_PORT if kind is Kind.CLUSTER else SENTINEL_PORT
        hosts = tuple(_host(spec, default_port) for spec in found["hosts"].split(","))
        service, database = _path(kind, found["path"] or "")
        given = dict(parse_qsl(found["query"] or "", keep_blank_values=True))
        if any("@" in name for name in given):  # the rest of a password with a ? that isn't percent-encoded
            raise ValueError("a parameter's name with an @")
        user, password = (given.pop(name, None) if kind is Kind.SENTINEL else None for name in _SENTINEL_PARAMETERS)
        user_info = f"{found['user_info']}@" if found["user_info"] else ""
        query = f"?{urlencode(given)}" if given else ""
        server = f"{found['scheme'].lower()}://{user_info}{hosts[0]}/{database}{query}"
        return cls(kind, server, hosts, service, user, password)


def _single(url: str) -> str:
    """Raises ValueError where neither a host nor a path is named, or a special character isn't percent-encoded."""
    parts = urlsplit(url)
    if not (parts.hostname or parts.path.strip("/") or parts.query):
        raise ValueError("neither host nor path")
    # The rest of a password with a /, ? or # that isn't percent-encoded: its beginning would be taken for a port.
    if "@" in parts.path + parts.fragment + parts.query.partition("=")[0]:
        raise ValueError("an @ behind the host")
    _ = parts.port  # raises ValueError if it is not a port number
    return url


def _host(spec: str, default_port: int) -> Host:
    found = _HOST.fullmatch(spec.strip())
    if found is None:
        raise ValueError(f"{spec!r} is not a host and a port")
    port = int(found["port"] or default_port)
    if not 0 < port < 65536:
        raise ValueError(f"port {port}")
    return Host(found["bracketed"] or found["plain"], port)


def _path(kind: Kind, path: str) -> tuple[str, int]:
    """The service, for Sentinels, and the number of the database."""
    parts = [unquote(part) for part in path.strip("/").split("/")] if path.strip("/") else []
    service = parts.pop(0) if kind is Kind.SENTINEL and parts else ""
    if (kind is Kind.SENTINEL) != bool(service) or len(parts) > 1:
        raise ValueError("Sentinels need the name of a service, and a cluster has none")
    database = int(parts[0]) if parts else 0
    if database < 0 or (kind is Kind.CLUSTER and database):
        raise ValueError("a cluster has no database but 0")
    return service, database
