"""What is left in the event loop of a connection that has ended: nothing."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import aiomqtt
import pytest

from tests.support.waiting import one_turn
from traksense_ingest.shared.mqtt_client import Client

CONNACK = b"\x20\x02\x00\x00"


async def test_a_socket_that_was_closed_meanwhile_is_not_registered() -> None:
    stray: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: stray.append(context))
    client, (ours, theirs) = Client("nowhere"), socket.socketpair()
    client._on_socket_open(client._client, None, ours)
    client._on_socket_register_write(client._client, None, ours)
    ours.close()
    theirs.close()
    await one_turn()
    assert stray == []


async def test_a_call_ends_with_its_connection_and_says_why() -> None:
    async def hang_up_after_subscribe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(CONNACK)
        await reader.read(1000)
        writer.close()

    async with await asyncio.start_server(hang_up_after_subscribe, "127.0.0.1", 0) as server:
        with pytest.raises(aiomqtt.MqttError, match="the connection was lost"):
            async with Client("127.0.0.1", server.sockets[0].getsockname()[1], timeout=60) as client:
                await client.subscribe("a")
    assert client.is_lost


async def test_a_connection_that_is_lost_right_after_connack_counts_as_lost() -> None:
    """Both in one turn of the event loop, before whoever connects goes on."""

    async def hang_up_after_connack(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(CONNACK)
        writer.close()

    async with await asyncio.start_server(hang_up_after_connack, "127.0.0.1", 0) as server:
        with pytest.raises(aiomqtt.MqttError, match="the connection was lost"):
            async with Client("127.0.0.1", server.sockets[0].getsockname()[1], timeout=60):
                pytest.fail("there is no connection")
