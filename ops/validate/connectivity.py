"""Check 1: the broker takes our messages and delivers them to who subscribes as the receiver does."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import aiomqtt

from ops.validate.message import telemetry, topic_of
from ops.validate.probe import Probe
from ops.validate.report import Finding
from shared import mqtt
from shared.config import redacted

DEVICE = "check-1"
ECHO_S = 10.0
REFUSED = 0x80  # from here on a SUBACK's reason code is a refusal


async def check(probe: Probe) -> Finding:
    """Subscribe, as a client of its own, to the receiver's topics; publish, unless it can't be removed, and hear it."""
    filters = plain(probe.settings.mqtt_topics)
    figures = {"topics": len(filters), "receiver": await probe.receiver.readiness()}
    figures["writer"] = await probe.writer.readiness()
    services = f"; {figures['receiver']}, {figures['writer']}"
    if wrong := await _subscribe_and_hear(probe, filters):
        return Finding(False, wrong + services, figures)
    topics = "1 topic" if len(filters) == 1 else f"{len(filters)} topics"
    return Finding(True, f"connected to {redacted(probe.settings.mqtt_url)}, subscribed to {topics}{services}", figures)


def plain(filters: Sequence[str]) -> list[str]:
    """The filters without `$share/group/`: as a member of the group we would take messages from a receiver."""
    return [re.sub(r"^\$share/[^/]*/", "", name) for name in filters]


def covers(filters: Sequence[str], topic: str) -> bool:
    """Whether a message to the topic matches one of the filters."""
    return any(aiomqtt.Topic(topic).matches(name) for name in filters)


async def _subscribe_and_hear(probe: Probe, filters: Sequence[str]) -> str | None:
    """What is wrong, or None."""
    topic = topic_of(probe.tenant, DEVICE)
    async with mqtt.client(probe.settings, f"{probe.tenant}-l") as listener:
        if refused := await _subscribe(listener, filters):
            return f"the broker refused to subscribe {', '.join(refused)}; look at its access rules"
        if not covers(filters, topic):
            shown = ", ".join(probe.settings.mqtt_topics)
            return f"MQTT_TOPICS ({shown}) does not cover {topic}: a receiver with it never sees our telemetry"
        if not probe.can_remove:
            return None
        await probe.publish(telemetry(DEVICE, probe.started, [("alive", "bool", True)]))
        if not await _hear(listener, topic, min(ECHO_S, probe.options.timeout)):
            return f"the broker took a message to {topic} but did not deliver it; look at its access rules"
    return None


async def _subscribe(listener: aiomqtt.Client, filters: Sequence[str]) -> list[str]:
    """The filters that were refused."""
    codes = await listener.subscribe([(name, 1) for name in filters])
    values = [code if isinstance(code, int) else code.value for code in codes]
    return [name for name, value in zip(filters, values, strict=True) if value >= REFUSED]


async def _hear(listener: aiomqtt.Client, topic: str, timeout: float) -> bool:
    try:
        async with asyncio.timeout(timeout):
            async for message in listener.messages:
                if message.topic.value == topic:
                    return True
    except TimeoutError:
        """Others' messages may have come, ours has not."""
    return False
