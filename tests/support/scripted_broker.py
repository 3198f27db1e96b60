"""A broker of MQTT 5 that answers as a test wants it, for what no broker at hand says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bench.packets import packet, varint

CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, PINGREQ = 0x10, 0x32, 0x82, 0xA2, 0xC0  # first bytes; a PUBLISH at QoS 1

# Properties of CONNACK
SESSION_EXPIRY = b"\x11"
NO_WILDCARDS = b"\x28\x00"
NO_SHARED_SUBSCRIPTIONS = b"\x2a\x00"


@dataclass
class ScriptedBroker:
    """Takes every client, never answers UNSUBSCRIBE. `suback` gives the reason codes of the n-th SUBSCRIBE, from 0;
    None: it hangs up."""

    suback: Callable[[int], bytes | None] = lambda _: b"\x01\x01\x01"
    properties: bytes = b""  # of CONNACK
    disconnect: bytes = b""  # what it says before it hangs up, if it does
    hangs_up_on: int = SUBSCRIBE  # or PUBLISH
    port: int = 0
    subscribed: int = 0  # SUBSCRIBEs so far

    @property
    def url(self) -> str:
        """Its address."""
        return f"mqtt://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client."""
        try:
            while (answer := self._answer(*await _read(reader))) is not None:
                writer.write(answer)
                await writer.drain()
                if answer and answer == self.disconnect:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            """It has left."""
        finally:
            writer.close()

    def _answer(self, first: int, body: bytes) -> bytes | None:
        if first == CONNECT:
            return packet(0x20, b"\0\0" + varint(len(self.properties)) + self.properties)
        if first == PINGREQ:
            return b"\xd0\x00"
        if first == self.hangs_up_on and self.disconnect:
            return self.disconnect
        if first == UNSUBSCRIBE:
            return b""
        if first != SUBSCRIBE:
            return None
        codes, self.subscribed = self.suback(self.subscribed), self.subscribed + 1
        return None if codes is None else packet(0x90, body[:2] + b"\0" + codes)


@asynccontextmanager
async def scripted(broker: ScriptedBroker) -> AsyncIterator[ScriptedBroker]:
    """The broker, for as long as the block."""
    async with await asyncio.start_server(broker.serve, "127.0.0.1", 0) as server:
        broker.port = server.sockets[0].getsockname()[1]
        yield broker


async def _read(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first = (await reader.readexactly(1))[0]
    size = shift = 0
    while True:
        digit = (await reader.readexactly(1))[0]
        size |= (digit & 0x7F) << shift
        shift += 7
        if digit < 0x80:
            return first, await reader.readexactly(size)
