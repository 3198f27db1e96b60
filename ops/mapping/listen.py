"""Messages from the broker, without taking any from a receiver: a client id of its own, a session that ends with the
connection, and no shared group."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from typing import Any

import aiomqtt
import click
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from traksense_ingest.ops.terminal import duration
from traksense_ingest.shared import mqtt
from traksense_ingest.shared.config import Settings, redacted
from traksense_ingest.shared.errors import ConfigurationError, IngestError
from traksense_ingest.shared.failure import Unusable, is_permanent
from traksense_ingest.shared.mapping.expected import Message
from traksense_ingest.shared.mqtt_client import Client
from traksense_ingest.shared.subscription import lowered, require_allowed

QOS = 1  # as receivers
WAITING = 10_000  # messages that wait to be shown; aiomqtt warns of those that it leaves out


async def listen_until_interrupted(
    settings: Settings, filters: Sequence[str], seconds: float
) -> AsyncGenerator[Message, None]:
    """For a command: it says so on stderr once it listens, and Ctrl-C ends it."""
    stop = asyncio.Event()
    with contextlib.suppress(ValueError):  # not in the main thread: no signal arrives there
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    subscribed = partial(_announce, settings, filters, seconds)
    async with aclosing(listen(settings, filters, seconds, stop, subscribed=subscribed)) as messages:
        async for message in messages:
            yield message


async def listen(
    settings: Settings,
    filters: Sequence[str],
    seconds: float,
    stop: asyncio.Event,
    *,
    subscribed: Callable[[], None] = lambda: None,
    waiting: int = WAITING,
    packet_max: int | None = None,
) -> AsyncGenerator[Message, None]:
    """What comes within so many seconds, or until `stop`. Raises IngestError if the broker can't be used.

    `subscribed` is called once messages may come; at most `waiting` of them wait to be taken. The broker
    leaves out messages of more than `packet_max` bytes, if it has MQTT 5.
    """
    client = _client(settings, waiting, packet_max)
    try:
        async with client:
            require_allowed(client.allowed, filters)
            lowered(filters, 0, await client.subscribe([(name, QOS) for name in filters]))
            subscribed()
            async for message in _until(client, seconds, stop):
                yield message
    except (aiomqtt.MqttError, Unusable, OSError) as error:
        raise _unusable(settings, error) from error


def _client(settings: Settings, waiting: int, packet_max: int | None) -> Client:
    properties: Any = None
    if packet_max is not None and mqtt.is_v5(settings):
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = packet_max
    name = f"mapping-{secrets.token_hex(6)}"
    try:
        return mqtt.client(settings, name, max_queued_incoming_messages=waiting, properties=properties)
    except OSError as error:
        raise _unusable(settings, error) from error


def _announce(settings: Settings, filters: Sequence[str], seconds: float) -> None:
    topics = ", ".join(filters) if len(filters) <= 3 else f"{len(filters)} topic filters"
    where = redacted(settings.mqtt_url)
    click.echo(f"listening to {topics} at {where} for {duration(seconds)}; Ctrl-C ends it earlier", err=True)


async def _until(client: Client, seconds: float, stop: asyncio.Event) -> AsyncGenerator[Message, None]:
    """Messages until the time is over, or `stop` is set."""
    stopping = asyncio.ensure_future(stop.wait())
    messages, end = aiter(client.messages), time.monotonic() + seconds
    try:
        while (left := end - time.monotonic()) > 0:
            coming = asyncio.ensure_future(anext(messages))
            await asyncio.wait((coming, stopping), timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                coming.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await coming
                return
            yield _message(coming.result())
    finally:
        stopping.cancel()


def _message(message: aiomqtt.Message) -> Message:
    payload = message.payload if isinstance(message.payload, bytes) else b""
    return Message(message.topic.value, payload, now(), bool(message.retain))


def now() -> datetime:
    """To the ms, as receivers keep it."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _unusable(settings: Settings, error: Exception) -> IngestError:
    text = f"MQTT_URL={redacted(settings.mqtt_url)}: broker: {mqtt.described(settings, error)}"
    is_final = isinstance(error, Unusable) or is_permanent(error)
    return ConfigurationError(text) if is_final else IngestError(text)
