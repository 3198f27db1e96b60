"""Does the broker know shared subscriptions? One that doesn't grants `$share/group/filter` as a topic of that name.

MQTT 5 can say so in CONNACK, 3.1.1 can't. So where a receiver of a group gets nothing at all, two other clients listen,
with sessions that end with them: one to the filters as they are, one as the only member of a group of its own. What the
first one receives the second one receives as well, unless the broker doesn't know `$share`. How a broker distributes
messages among the members of MQTT_SHARED_GROUP doesn't matter, and nothing is published.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextlib import AsyncExitStack, suppress

from traksense_ingest.shared import mqtt
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.failure import BROKER_ERRORS, Unusable
from traksense_ingest.shared.messages import plain, shared_by
from traksense_ingest.shared.metrics import ReceiverMetrics
from traksense_ingest.shared.mqtt_client import Client
from traksense_ingest.shared.runtime.health import Component
from traksense_ingest.shared.runtime.tasks import end_if_cancelled
from traksense_ingest.shared.subscription import lowered

QUIET_S = 10.0  # how long nothing comes before it listens
LISTEN_S = 600.0  # how long it waits for any message before it connects again
SILENCE_S = 3.0  # how much later than the first client the second one may receive a message

log = logging.getLogger(__name__)


class GroupCheck:
    """Runs beside the work: its errors end nothing, and what it finds is one log line."""

    def __init__(self, settings: Settings, broker: Component, metrics: ReceiverMetrics) -> None:
        self._settings = settings
        self._broker = broker
        self._metrics = metrics
        self._filters = plain(settings.mqtt_topics)

    async def run(self) -> None:
        """Until the first message proves that shared subscriptions work, or until it has logged that they don't."""
        while not self._has_received():
            await asyncio.sleep(QUIET_S)
            if not self._broker.is_up or self._has_received():
                continue
            works = None
            with suppress(*BROKER_ERRORS, Unusable):  # access rules may forbid it
                works = await self._listen()
            end_if_cancelled()
            if works is False:
                self._warn()
            if works is not None:
                return

    async def _listen(self) -> bool | None:
        """Whether shared subscriptions work; None where no message came that shows it."""
        async with AsyncExitStack() as connections:
            member = await self._connect(connections, shared_by(self._filters, f"check-{secrets.token_hex(4)}"))
            async with AsyncExitStack() as listening:
                listener = await self._connect(listening, self._filters)
                if not await _receives(listener, LISTEN_S):
                    return None
            return await _receives(member, SILENCE_S, is_retained_enough=True)

    async def _connect(self, connections: AsyncExitStack, filters: list[str]) -> Client:
        client = mqtt.client(self._settings, f"group-check-{secrets.token_hex(5)}")
        await connections.enter_async_context(client)
        lowered(filters, 0, await client.subscribe([(name, 0) for name in filters]))
        return client

    def _has_received(self) -> bool:
        return bool(self._metrics.registry.get_sample_value("ingest_received_messages_total"))

    def _warn(self) -> None:
        log.warning(
            "broker: this receiver gets nothing, though there are messages: the broker does not seem to know shared "
            "subscriptions (%s…); unset MQTT_SHARED_GROUP",
            shared_by(self._settings.mqtt_topics[:1], self._settings.mqtt_shared_group)[0],
            extra={"component": "broker", "client_id": self._settings.mqtt_client_id},
        )


async def _receives(client: Client, timeout: float, *, is_retained_enough: bool = False) -> bool:
    """Whether a message comes within so many seconds; a retained one does not show that anything is published now."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            async for message in client.messages:
                if is_retained_enough or not message.retain:
                    return True
    return False
