"""DATABASE_URL in libpq's form: several hosts, of which one is to take the connection.

asyncpg reads the rest of the URL. It knows lists of hosts as well, but gives all of them one time-out together, so that
the first one whose machine is gone uses it up, and believes what a pooler remembers of whether a server takes writes.
https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, unquote

DEFAULT_PORT = 5432
SESSION_ATTRIBUTES = ("any", "read-write", "read-only", "primary", "standby", "prefer-standby")

_URL = re.compile(
    r"(?P<scheme>postgres(?:ql)?://)(?:(?P<user_info>[^@/?#]*)@)?(?P<hosts>[^@/?#]*)(?P<path>/[^?#@]*)?"
    r"(?:\?(?P<query>[^#]*))?",
    re.IGNORECASE,
)
_HOST = re.compile(r"(?:\[(?P<bracketed>[^\]]+)\]|(?P<plain>[^:\[\]]*))(?::(?P<port>[^:]*))?")


class Host(NamedTuple):
    """A server: a name, an address, or the directory of its Unix socket."""

    name: str
    port: int

    def __str__(self) -> str:
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"


class DatabaseUrl(NamedTuple):
    """A URL, taken apart."""

    rest: str  # the URL without what is below, for asyncpg
    hosts: tuple[Host, ...]  # in the order in which they are tried; none: asyncpg's defaults
    session: str  # one of SESSION_ATTRIBUTES
    timeout: float | None  # seconds that connecting to one host may take

    @classmethod
    def parse(cls, url: str) -> DatabaseUrl:
        """Raises ValueError for what libpq would not take, or what names no server at all."""
        found = _URL.fullmatch(url)
        if found is None:
            raise ValueError("no URL of PostgreSQL's")
        given = _parameters(found["query"] or "")
        hosts = _hosts(found["hosts"], given.pop("host", ""), given.pop("port", ""))
        path = found["path"] or ""
        if not (hosts or path.strip("/") or given):
            raise ValueError("neither host nor database")
        session = given.pop("target_session_attrs", "read-write" if len(hosts) > 1 else "any")
        if session not in SESSION_ATTRIBUTES:
            raise ValueError(f"target_session_attrs is one of {', '.join(SESSION_ATTRIBUTES)}")
        timeout = int(given.pop("connect_timeout", 0))
        user_info = "" if found["user_info"] is None else f"{found['user_info']}@"
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in given.items())
        rest = f"{found['scheme']}{user_info}{path}{'?' * bool(query)}{query}"
        return cls(rest, hosts, session, float(timeout) if timeout > 0 else None)

    @property
    def parameters(self) -> dict[str, str]:
        """Those that are asyncpg's or the server's."""
        return _parameters(self.rest.partition("?")[2])


def _parameters(query: str) -> dict[str, str]:
    """Without those that have no value. A + is one, and no space."""
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    # A name with an @ is the rest of a password with a ? that isn't percent-encoded.
    if any(not equals or "@" in name for name, equals, _ in pairs):
        raise ValueError("a parameter without a value")
    return {unquote(name): unquote(value) for name, _, value in pairs if value}


def _hosts(listed: str, names: str, ports: str) -> tuple[Host, ...]:
    """Of `a:1,b:2` before the path, or of the parameters host and port; the parameters win."""
    specs = (names or listed).split(",") if names or listed else []
    hosts = [_host(spec) for spec in specs]
    if not names:
        hosts = [(unquote(name), port) for name, port in hosts]
    given = ports.split(",") if ports else []
    if len(hosts) > 1 and len(given) not in (0, 1, len(hosts)):
        raise ValueError(f"{len(given)} ports for {len(hosts)} hosts")
    if given and not hosts:
        hosts = [("localhost", "")]
    forced = given * len(hosts) if len(given) == 1 else given or [""] * len(hosts)
    return tuple(Host(name, _port(port or own)) for (name, own), port in zip(hosts, forced, strict=True))


def _host(spec: str) -> tuple[str, str]:
    """A name, and the port behind it or ""."""
    if spec.startswith("/"):
        return spec, ""
    if spec.count(":") > 1 and not spec.startswith("["):  # an IPv6 address has no brackets in the parameter host
        return spec, ""
    found = _HOST.fullmatch(spec)
    if found is None or not (found["bracketed"] or found["plain"] or found["port"]):
        raise ValueError("a host without a name")
    return found["bracketed"] or found["plain"] or "localhost", found["port"] or ""


def _port(text: str) -> int:
    port = int(text) if text else DEFAULT_PORT
    if not 0 < port < 65536:
        raise ValueError(f"port {port}")
    return port
