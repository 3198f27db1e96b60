"""The MQTT client that every command has."""

from __future__ import annotations

import asyncio

import aiomqtt
import pytest

from traksense_ingest.shared import config, mqtt


async def test_a_broker_that_hangs_up_without_an_answer_is_noticed_at_once() -> None:
    """As a proxy does whose broker is unreachable. aiomqtt alone would wait for its time-out: here for ever."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        client = mqtt.client(config.load(mqtt_url=f"mqtt://127.0.0.1:{port}"), "somebody", timeout=3600)
        with pytest.raises(aiomqtt.MqttError, match="hung up before it answered"):
            async with client:
                pytest.fail("there is no broker")
