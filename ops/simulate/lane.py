"""One connection to the broker, in front of some of the devices: keeps their order, loses none of their messages.

This is the only module here that knows aiomqtt's wrapped paho client. aiomqtt's own `publish` takes a task and a
timer a message, and says nothing of a PUBACK that refuses.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import aiomqtt
from paho.mqtt.client import Client as Paho
from paho.mqtt.client import ConnectFlags
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ops.simulate.messages import Message
from ops.simulate.notice import Notice
from ops.simulate.tally import Tally
from shared import mqtt
from shared.backoff import Backoff
from shared.config import Settings
from shared.failure import describe, is_hopeless
from shared.outage import Misconfigured

WINDOW = 200  # messages on their way: with a PUBACK after 50 ms still 4 000 messages/s
KEEPALIVE_S = 15  # a broker that vanished is noticed after 1.5 times as long
TIMEOUT_S = 5.0
REFUSED = 0x80  # from here on a PUBACK's reason code is a refusal


class Lane:
    """At least once and in order, over as many connections as it takes."""

    def __init__(self, settings: Settings, identifier: str, tally: Tally, notice: Notice) -> None:
        self._settings, self._identifier = settings, identifier
        self._tally, self._notice = tally, notice
        self._waiting: deque[Message] = deque()
        self._unacked: dict[int, Message] = {}  # by mid, in the order sent
        self._room = asyncio.Semaphore(WINDOW)
        self._window = WINDOW  # what this connection's broker lets us have on the way
        self._paho: Paho | None = None  # while connected
        self._closing = asyncio.Event()
        self.connected = asyncio.Event()  # set by the first connection
        self.idle = asyncio.Event()
        self.idle.set()

    async def put(self, message: Message) -> None:
        """Send a message, or keep it until there is a connection; waits while WINDOW messages are on the way."""
        await self._room.acquire()
        self.idle.clear()
        self._waiting.append(message)
        self._send()

    async def run(self) -> None:
        """Stay connected until `close`; raises Misconfigured when the broker refuses the first connection."""
        backoff = Backoff()
        while not self._closing.is_set():
            try:
                await self._connection(backoff)
            except aiomqtt.MqttError as error:
                self._lost(error)
                await asyncio.sleep(backoff.delay())

    def close(self) -> None:
        """Disconnect, whatever is still on its way."""
        self._closing.set()

    @property
    def unconfirmed(self) -> int:
        """Messages that were sent and have no PUBACK: they may have arrived."""
        return len(self._unacked)

    async def _connection(self, backoff: Backoff) -> None:
        options = {"keepalive": KEEPALIVE_S, "timeout": TIMEOUT_S, "max_inflight_messages": WINDOW}
        client = mqtt.client(self._settings, self._identifier, **options)
        self._listen_to(client._client)
        async with client:
            backoff.reset()
            self._open(client._client)
            try:
                await self._until_lost(client)
            finally:
                self._paho = None

    def _listen_to(self, paho: Paho) -> None:
        paho.disable_logger()  # it formats a line a packet, for nobody
        paho.on_publish = self._on_puback
        tell_aiomqtt = paho.on_connect
        assert tell_aiomqtt is not None  # noqa: S101  (aiomqtt set it)

        def on_connect(paho: Paho, data: Any, flags: ConnectFlags, code: ReasonCode, about: Properties | None) -> None:
            # A broker of MQTT 5 hangs up on who has more on the way than it said.
            self._window = min(WINDOW, getattr(about, "ReceiveMaximum", WINDOW))
            tell_aiomqtt(paho, data, flags, code, about)  # type: ignore[call-arg, arg-type]

        paho.on_connect = on_connect

    def _open(self, paho: Paho) -> None:
        """Take up where the last connection broke off: first what got no PUBACK."""
        self._tally.sent_again += len(self._unacked)
        self._waiting.extendleft(reversed(self._unacked.values()))
        self._unacked.clear()
        self._paho = paho
        self._notice.up()
        self.connected.set()
        self._send()

    def _send(self) -> None:
        while self._paho and self._waiting and len(self._unacked) < self._window:
            message = self._waiting.popleft()
            info = self._paho.publish(message.topic, message.payload, qos=1)
            self._unacked[info.mid] = message  # whatever became of it: without a PUBACK it is sent again

    def _on_puback(self, _paho: Paho, _data: object, mid: int, code: ReasonCode, _about: Properties) -> None:
        message = self._unacked.pop(mid, None)
        if message is None:
            return
        if code.value >= REFUSED:
            self._tally.refused[str(code)] += 1
            self._notice.refused(str(code))
        else:
            self._tally.add(message)
        self._room.release()
        self._send()
        if not self._unacked and not self._waiting:
            self.idle.set()

    async def _until_lost(self, client: aiomqtt.Client) -> None:
        """Wait for `close`; raises MqttError when the connection is lost before."""
        closing = asyncio.create_task(self._closing.wait())
        lost = asyncio.create_task(anext(client.messages))  # nothing is subscribed: it can but fail
        try:
            await asyncio.wait((closing, lost), return_when=asyncio.FIRST_COMPLETED)
            if lost.done():
                lost.result()
        finally:
            for task in (closing, lost):
                task.cancel()
            await asyncio.gather(closing, lost, return_exceptions=True)

    def _lost(self, error: aiomqtt.MqttError) -> None:
        if is_hopeless(error) and not self.connected.is_set():
            raise Misconfigured(f"MQTT_URL: broker: {describe(error)}") from None
        self._notice.down(error)
