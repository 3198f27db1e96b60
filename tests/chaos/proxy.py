"""A TCP proxy that resets, slows, stalls and half-opens the connections through it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Protocol

from tests.support.waiting import pause

CHUNK = 65_536
# About 10 kB/s each way of a connection. At 200 messages/s the broker sends each of two receivers 17 kB/s, these send
# Redis 27 kB/s, and the writers send the database 17 kB/s on the busiest connection of each.
SLOW_CHUNK, SLOW_DELAY_S = 512, 0.05
CUT_AFTER_S = 0.3  # at most: how long a connection lives while connections are being cut
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: close() sends RST


class Observer(Protocol):
    """Sees what has been handed on, in both directions of one connection."""

    def to_client(self, data: bytes) -> None:
        """Bytes that were written to whoever connected."""

    def to_server(self, data: bytes) -> None:
        """Bytes that were written to the server."""


class Unobserved:
    """Does not observe."""

    def to_client(self, data: bytes) -> None:
        """Nothing."""

    def to_server(self, data: bytes) -> None:
        """Nothing."""


class Proxy:
    """Listens on a port of its own, in front of a server on loopback that may come and go."""

    def __init__(self, target: int, random: Random, observe: Callable[[], Observer] = Unobserved) -> None:
        self._target = target
        self._random = random
        self._observe = observe
        self._links: set[_Link] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._stalled: frozenset[str] = frozenset()  # whose connections, while it stalls; all if it is empty
        self._is_slow = False
        self._is_cutting = False
        self.disturbed = 0  # chunks that were held or swallowed, or came faster than they could pass

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """The port, while it listens."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            self._flows.set()
            self.abort()

    @asynccontextmanager
    async def resets(self) -> AsyncIterator[None]:
        """Every connection is cut now, and each new one within CUT_AFTER_S."""
        self._is_cutting = True
        self.abort()
        try:
            yield
        finally:
            self._is_cutting = False

    @asynccontextmanager
    async def stalls(self, *addresses: str) -> AsyncIterator[None]:
        """Nothing passes; then all of it does, as after a network's hiccup. Only connections from these addresses, if
        any are given."""
        self._stalled = frozenset(addresses)
        self._flows.clear()
        try:
            yield
        finally:
            self._flows.set()

    @asynccontextmanager
    async def is_slow(self) -> AsyncIterator[None]:
        """SLOW_CHUNK bytes pass every SLOW_DELAY_S."""
        self._is_slow = True
        try:
            yield
        finally:
            self._is_slow = False

    @asynccontextmanager
    async def goes_half_open(self) -> AsyncIterator[None]:
        """The server's end of every connection is gone without the client's knowledge; new connections are fine."""
        for link in self._links:
            link.half_open()
        yield

    def lead_to(self, target: int) -> None:
        """New connections go to another port; existing ones stay."""
        self._target = target

    def abort(self) -> None:
        """Reset every connection, at both ends."""
        for link in self._links:
            link.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(writer)
        self._links.add(link)
        try:
            with contextlib.suppress(OSError):
                await self._forward(link, reader, writer)
        finally:
            link.abort()
            self._links.discard(link)

    async def _forward(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._pass(link)
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self._target)
        link.server = upstream
        observer = self._observe()
        pumps = [
            asyncio.create_task(self._pump(reader, upstream, link, observer.to_server)),
            asyncio.create_task(self._pump(upstream_reader, writer, link, observer.to_client)),
        ]
        if self._is_cutting:
            pumps.append(asyncio.create_task(pause(self._random.uniform(0, CUT_AFTER_S))))
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        if link.is_half_open:
            await pumps[0]  # until the client gives up by itself
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: _Link, saw: Callable[[bytes], None]
    ) -> None:
        while data := await reader.read(SLOW_CHUNK if self._is_slow else CHUNK):
            is_behind = self._is_slow and len(data) == SLOW_CHUNK
            self.disturbed += is_behind or link.is_half_open or self._holds(link)
            if self._is_slow:
                await pause(SLOW_DELAY_S)
            await self._pass(link)
            if link.is_half_open:
                continue
            writer.write(data)
            await writer.drain()
            saw(data)

    def _holds(self, link: _Link) -> bool:
        return not self._flows.is_set() and (not self._stalled or link.address in self._stalled)

    async def _pass(self, link: _Link) -> None:
        if self._holds(link):
            await self._flows.wait()


class _Link:
    """One connection's two ends."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.client = client
        self.address: str = client.get_extra_info("peername")[0]
        self.server: asyncio.StreamWriter | None = None
        self.is_half_open = False

    def half_open(self) -> None:
        self.is_half_open = True
        _reset(self.server)

    def abort(self) -> None:
        _reset(self.server)
        _reset(self.client)


def _reset(end: asyncio.StreamWriter | None) -> None:
    if end is None or end.transport.is_closing():
        return
    connection: socket.socket = end.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    end.transport.abort()
