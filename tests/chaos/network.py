"""Proxies in front of the nodes of Redis, each of which connects from an address of its own: so one of them can be
separated from the others, while receivers and writers reach all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

from tests.chaos.proxy import Proxy
from traksense_ingest.ops.embedded import RedisServer


class Network:
    """Of one cluster, or of the servers that Sentinels watch and of the Sentinels."""

    def __init__(self, random: Random, lifetimes: AsyncExitStack, fsync: str) -> None:
        self._random, self._lifetimes = random, lifetimes
        self._fsync = fsync
        self._addresses: list[str] = []
        self._of: dict[int, str] = {}  # a server's port: the address that it connects from
        self._proxies: dict[int, list[Proxy]] = {}

    def address(self) -> str:
        """One that nobody has yet."""
        self._addresses.append(f"127.0.1.{len(self._addresses) + 1}")
        return self._addresses[-1]

    async def add_node(self, server: RedisServer) -> None:
        """One of a cluster that hasn't started yet: others, and clients, reach it through two proxies."""
        port, bus = await self._add(server, server.port, int(server.options["cluster-port"]))
        announced = {"cluster-announce-port": port, "cluster-announce-bus-port": bus}
        server.options |= {"cluster-announce-ip": server.host, **announced}

    async def add_watched(self, server: RedisServer) -> None:
        """One that Sentinels watch, and that hasn't started yet."""
        (port,) = await self._add(server, server.port)
        server.options |= {"replica-announce-ip": server.host, "replica-announce-port": port}

    async def _add(self, server: RedisServer, *ports: int) -> list[str]:
        address = self._of[server.port] = self.address()
        server.options |= {"bind-source-addr": address, "repl-diskless-sync-delay": "0", "appendfsync": self._fsync}
        proxies = self._proxies[server.port] = [Proxy(port, self._random) for port in ports]
        return [str(await self._lifetimes.enter_async_context(proxy.listening())) for proxy in proxies]

    @asynccontextmanager
    async def separated(self, server: RedisServer) -> AsyncIterator[None]:
        """Nothing passes between it and the others; what was sent meanwhile arrives at the end."""
        own = self._of[server.port]
        others = [address for address in self._addresses if address != own]
        async with AsyncExitStack() as stack:
            for port, proxies in self._proxies.items():
                for proxy in proxies:
                    await stack.enter_async_context(proxy.stalls(*(others if port == server.port else [own])))
            yield
