"""One connection to the broker for some of the devices: keeps their order, loses none of their messages.

The only module here that uses the paho client inside aiomqtt's. aiomqtt's own `publish` takes a task and a timer for
each message, and does not report a PUBACK that refuses it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiomqtt
from paho.mqtt.client import Client as Paho
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from traksense_ingest.ops.simulate.messages import Message
from traksense_ingest.ops.simulate.report import Tally
from traksense_ingest.shared import mqtt
from traksense_ingest.shared.config import Settings, redacted
from traksense_ingest.shared.errors import ConfigurationError
from traksense_ingest.shared.failure import is_permanent
from traksense_ingest.shared.mqtt_client import Client
from traksense_ingest.shared.runtime.retry import Backoff

WINDOW = 200  # messages in flight: with a PUBACK after 50 ms still 4 000 messages/s
KEEPALIVE_S = 15  # an unreachable broker is noticed after 1.5 times as long
TIMEOUT_S = 5.0
REFUSED = 0x80  # from here on a PUBACK's reason code is a refusal


class Notice:
    """Prints each outage of the broker, its end, and each kind of refusal once, a line each.

    All connections share one, so that none repeats another.
    """

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._url = redacted(settings.mqtt_url)
        self._say = say
        self._is_down = False
        self._refusals: set[str] = set()

    def down(self, error: Exception) -> None:
        """The broker can't be reached."""
        if not self._is_down:
            self._say(f"{self._url} is unreachable, waiting for it: {mqtt.described(self._settings, error)}")
        self._is_down = True

    def up(self) -> None:
        """The broker answers again."""
        if self._is_down:
            self._say(f"{self._url} is reachable again")
        self._is_down = False

    def refused(self, reason: str) -> None:
        """It rejected a message."""
        if reason not in self._refusals:
            self._say(f"{self._url} refuses messages: {reason}")
        self._refusals.add(reason)


@dataclass(frozen=True, slots=True)
class Presence:
    """The state of the one device of a connection."""

    last_will: tuple[str, bytes]  # topic and payload, retained
    online: Callable[[], Message]  # its state after a reconnection


class Lane:
    """At least once and in order, over as many connections as it takes."""

    def __init__(
        self, settings: Settings, identifier: str, tally: Tally, notice: Notice, presence: Presence | None = None
    ) -> None:
        self._settings, self._identifier = settings, identifier
        self._tally, self._notice = tally, notice
        self._presence = presence
        self._waiting: deque[Message] = deque()
        self._unacked: dict[int, Message] = {}  # by mid, in the order sent
        self._room = asyncio.Semaphore(WINDOW)
        self._outside = 0  # messages without a PUBACK that are not counted in the window
        self._window = WINDOW  # what this connection's broker allows in flight
        self._paho: Paho | None = None  # while connected
        self._closing = asyncio.Event()
        self.connected = asyncio.Event()  # set by the first connection
        self.idle = asyncio.Event()
        self.idle.set()

    async def put(self, message: Message) -> None:
        """Send a message, or keep it until there is a connection; waits while WINDOW messages are in flight."""
        await self._room.acquire()
        self._append(message)

    def say(self, message: Message) -> None:
        """The same without waiting for the window: for states, and for the last messages of a run."""
        self._outside += 1
        self._append(message)

    async def run(self) -> None:
        """Stay connected until `close`; raises ConfigurationError if the broker refuses the connection or QoS 1."""
        backoff = Backoff()
        while not self._closing.is_set():
            try:
                await self._connection(backoff)
            except aiomqtt.MqttError as error:
                self._lost(error)
                await asyncio.sleep(backoff.delay())

    def close(self) -> None:
        """Disconnect, also with messages in flight."""
        self._closing.set()

    @property
    def unconfirmed(self) -> int:
        """Messages that were sent and have no PUBACK: they may have arrived."""
        return len(self._unacked)

    def _append(self, message: Message) -> None:
        self.idle.clear()
        self._waiting.append(message)
        self._send()

    async def _connection(self, backoff: Backoff) -> None:
        options: dict[str, Any] = {"keepalive": KEEPALIVE_S, "timeout": TIMEOUT_S, "max_inflight_messages": WINDOW}
        if self._presence:
            options["will"] = aiomqtt.Will(*self._presence.last_will, qos=1, retain=True)
        client = mqtt.client(self._settings, self._identifier, **options)
        self._listen_to(client.paho)
        async with client:
            backoff.reset()
            if client.allowed.maximum_qos == 0:
                raise ConfigurationError(
                    "MQTT_URL: broker: it accepts messages at QoS 0 only, which no PUBACK confirms"
                )
            # A broker of MQTT 5 disconnects a client that has more in flight than its Receive Maximum.
            self._window = min(WINDOW, client.allowed.receive_maximum)
            self._open(client.paho)
            try:
                await self._until_lost(client)
            except aiomqtt.MqttError:
                self._tally.last_wills += self._presence is not None
                raise
            finally:
                self._paho = None

    def _listen_to(self, paho: Paho) -> None:
        paho.disable_logger()  # it formats a line for each packet, which nothing reads
        paho.on_publish = self._on_puback

    def _open(self, paho: Paho) -> None:
        """Continue where the last connection was lost: first the messages without a PUBACK. The broker may have
        published the last will, so the device publishes that it is online."""
        self._tally.sent_again += len(self._unacked)
        self._waiting.extendleft(reversed(self._unacked.values()))
        self._unacked.clear()
        if self._presence and self.connected.is_set():
            self._outside += 1
            self._waiting.appendleft(self._presence.online())
            self.idle.clear()
        self._paho = paho
        self._notice.up()
        self.connected.set()
        self._send()

    def _send(self) -> None:
        while self._paho and self._waiting and len(self._unacked) < self._window:
            message = self._waiting.popleft()
            info = self._paho.publish(message.topic, message.payload, qos=1, retain=message.retain)
            self._unacked[info.mid] = message  # whatever the result: without a PUBACK it is sent again

    def _on_puback(self, _paho: Paho, _data: object, mid: int, code: ReasonCode, _about: Properties) -> None:
        message = self._unacked.pop(mid, None)
        if message is None:
            return
        if code.value >= REFUSED:
            self._tally.refused[str(code)] += 1
            self._notice.refused(str(code))
        else:
            self._tally.add(message)
        self._make_room()
        self._send()
        if not self._unacked and not self._waiting:
            self.idle.set()

    def _make_room(self) -> None:
        if self._outside:
            self._outside -= 1
        else:
            self._room.release()

    async def _until_lost(self, client: Client) -> None:
        """Wait for `close`; raises MqttError when the connection is lost before."""
        closing = asyncio.create_task(self._closing.wait())
        lost = asyncio.create_task(client.lost())
        try:
            await asyncio.wait((closing, lost), return_when=asyncio.FIRST_COMPLETED)
            if lost.done():
                lost.result()
        finally:
            for task in (closing, lost):
                task.cancel()
            await asyncio.gather(closing, lost, return_exceptions=True)

    def _lost(self, error: aiomqtt.MqttError) -> None:
        if is_permanent(error) and not self.connected.is_set():
            raise ConfigurationError(f"MQTT_URL: broker: {mqtt.described(self._settings, error)}") from None
        self._notice.down(error)
