"""The options of a console."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from traksense_ingest.ops.console.guard.hosts import LOOPBACK, is_loopback, is_network, name_of
from traksense_ingest.ops.console.guard.users import User
from traksense_ingest.shared.errors import ConfigurationError

LOCAL_PROXIES = "127.0.0.1", "::1"


@dataclass(frozen=True)
class Options:
    """Where it listens, and who may use it."""

    host: str = "127.0.0.1"
    port: int = 9180
    users: Mapping[str, User] = field(default_factory=dict)  # none: anyone with the link is an operator
    hosts: frozenset[str] = LOOPBACK  # the names that it accepts in the header Host
    prefix: str = ""  # of all paths, behind a reverse proxy: /ingest
    link_file: Path | None = None  # for the newest link; None: the log has it
    proxies: tuple[str, ...] = LOCAL_PROXIES  # whose X-Forwarded-For and X-Forwarded-Proto are trusted

    @classmethod
    def checked(
        cls,
        host: str,
        port: int,
        users: Mapping[str, User],
        names: tuple[str, ...],
        prefix: str,
        link_file: Path | None = None,
        proxies: tuple[str, ...] = (),
    ) -> Options:
        """Raises ConfigurationError if everyone on the network could use the console, or a proxy is not an address."""
        if not is_loopback(host) and not users:
            raise ConfigurationError(
                f"--host {host}: other machines reach this address, and there are no users; add one with "
                "`traksense-ingest console user NAME --users FILE`, and pass --users FILE"
            )
        for proxy in proxies:
            if not is_network(proxy):
                raise ConfigurationError(f"--proxy {proxy}: neither an address nor a network, such as 10.0.0.0/8")
        own = {name_of(host)} - {"0.0.0.0", "::"}  # noqa: S104  (no name for a browser)
        prefix = "/" + prefix.strip("/") if prefix.strip("/") else ""
        hosts = frozenset({*LOOPBACK, *own, *map(name_of, names)})
        return cls(host, port, users, hosts, prefix, link_file, (*LOCAL_PROXIES, *proxies))

    def address(self, port: int) -> str:
        """Its URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{port}{self.prefix}/"

    def link(self, port: int, token: str) -> str:
        """What to open in a browser, once."""
        return f"{self.address(port)}login?token={token}"
