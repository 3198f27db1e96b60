"""Check 1: the broker accepts messages and delivers them to a client that subscribes as the receiver does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import aiomqtt

from traksense_ingest.ops.validate.probe import Probe, telemetry, topic_of
from traksense_ingest.ops.validate.report import Finding
from traksense_ingest.shared import mqtt
from traksense_ingest.shared.config import redacted
from traksense_ingest.shared.failure import Unusable
from traksense_ingest.shared.messages import plain, shared_by
from traksense_ingest.shared.mqtt_client import Client
from traksense_ingest.shared.subscription import is_shared, lowered, require_allowed

DEVICE = "check-1"
ECHO_S = 10.0
GROUP_S = 3.0  # how much later than the plain subscription the shared one may deliver


async def check(probe: Probe) -> Finding:
    """Subscribe as another client to the receiver's topics; publish, unless it can't be removed, and receive it."""
    filters = plain(probe.settings.mqtt_topics)
    figures = {"topics": len(filters), "receiver": await probe.receiver.readiness()}
    figures["writer"] = await probe.writer.readiness()
    services = f"; {figures['receiver']}, {figures['writer']}"
    if wrong := await _subscribe_and_receive(probe, filters):
        return Finding(False, wrong + services, figures)
    topics = "1 topic" if len(filters) == 1 else f"{len(filters)} topics"
    return Finding(True, f"connected to {redacted(probe.settings.mqtt_url)}, subscribed to {topics}{services}", figures)


def covers(filters: Sequence[str], topic: str) -> bool:
    """Whether a message to the topic matches one of the filters."""
    return any(aiomqtt.Topic(topic).matches(name) for name in filters)


async def _subscribe_and_receive(probe: Probe, filters: Sequence[str]) -> str | None:
    """What is wrong, or None."""
    topic = topic_of(probe.tenant, DEVICE)
    async with mqtt.client(probe.settings, f"{probe.tenant}-l") as listener:
        if wrong := await _subscribe(listener, filters):
            return wrong
        if not covers(filters, topic):
            shown = ", ".join(probe.settings.mqtt_topics)
            return f"MQTT_TOPICS ({shown}) does not cover {topic}: a receiver with it never sees our telemetry"
        if not probe.can_remove:
            return None
        if is_shared(probe.settings):
            return await _publish_and_receive_in_a_group(probe, listener, topic)
        return await _publish_and_receive(probe, listener, topic)


async def _subscribe(listener: Client, filters: Sequence[str]) -> str | None:
    """Why the broker refuses it, or None."""
    try:
        require_allowed(listener.allowed, filters)
        lower = lowered(filters, 1, await listener.subscribe([(name, 1) for name in filters]))
    except Unusable as error:
        return f"the broker answers, and {error}"
    return f"the broker grants QoS 0 instead of 1 to {', '.join(lower)}: messages can be lost" if lower else None


async def _publish_and_receive(probe: Probe, listener: Client, topic: str) -> str | None:
    await probe.publish(telemetry(DEVICE, probe.started, [("alive", "bool", True)]))
    if not await _has_received(listener, topic, min(ECHO_S, probe.options.timeout)):
        return f"the broker accepted a message to {topic} but did not deliver it; check its access rules"
    return None


async def _publish_and_receive_in_a_group(probe: Probe, listener: Client, topic: str) -> str | None:
    """If receivers form a group: the only member of another group must receive the message, too."""
    async with mqtt.client(probe.settings, f"{probe.tenant}-g") as member:
        if wrong := await _subscribe(member, shared_by([topic], probe.tenant)):
            # The access rules may allow the receivers' group alone.
            return await _publish_and_receive(probe, listener, topic) if member.allowed.shared_subscriptions else wrong
        if wrong := await _publish_and_receive(probe, listener, topic):
            return wrong
        if await _has_received(member, topic, min(GROUP_S, probe.options.timeout)):
            return None
    return (
        "the broker does not know shared subscriptions: it delivered a message to a plain subscription and not to "
        f"{shared_by([topic], probe.tenant)[0]}; receivers with MQTT_SHARED_GROUP get nothing: unset it"
    )


async def _has_received(listener: aiomqtt.Client, topic: str, timeout: float) -> bool:
    try:
        async with asyncio.timeout(timeout):
            async for message in listener.messages:
                if message.topic.value == topic:
                    return True
    except TimeoutError:
        """Messages of other clients may have arrived, ours has not."""
    return False
