"""Browsers that listen to a topic for some seconds: one for each session, with a limit of messages and bytes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from typing import NamedTuple

from starlette.requests import Request

from traksense_ingest.ops.console.bounded import bounded
from traksense_ingest.ops.console.guard.sessions import Session
from traksense_ingest.ops.mapping.listen import listen
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.errors import IngestError
from traksense_ingest.shared.mapping.expected import Message
from traksense_ingest.shared.runtime.tasks import in_background

SECONDS = 10.0
PATIENCE_S = 10.0  # to connect and to subscribe
MESSAGES, BYTES = 20, 512 * 1024  # that are kept; bytes of topics and payloads
PACKET_MAX = 2 * 1024 * 1024  # bytes; the broker leaves out larger messages
WAITING = 100  # messages that the client holds while earlier ones are processed
AT_ONCE = 8  # of all sessions: each is a connection to the broker

log = logging.getLogger(__name__)


class Heard(NamedTuple):
    """The messages, and whether listening stopped early because no more are kept."""

    messages: list[Message]
    is_full: bool


class Listeners:
    """The browsers that listen at this moment."""

    def __init__(self) -> None:
        self._stops: dict[int, asyncio.Event] = {}  # by the session
        self._has_ended = False

    def stop(self) -> None:
        """The console ends: all of them do."""
        self._has_ended = True
        for stop in self._stops.values():
            stop.set()

    async def hear(self, session: Session, request: Request, settings: Settings, topic: str) -> Heard:
        """Listen until the time is over, the limit is reached, the browser disconnects, or the session listens again.
        Raises IngestError."""
        if earlier := self._stops.pop(id(session), None):
            earlier.set()
        if len(self._stops) >= AT_ONCE:
            raise IngestError(f"{AT_ONCE} browsers listen at this moment; try again in {SECONDS:g} s")
        stop = self._stops[id(session)] = asyncio.Event()
        if self._has_ended:
            stop.set()
        try:
            async with (
                in_background(_stopped_by_leaving(request, stop), "leaving"),
                bounded("MQTT_URL", settings.mqtt_url, SECONDS + PATIENCE_S),
            ):
                return await _heard(settings, topic, stop, partial(_say, session, topic))
        finally:
            if self._stops.get(id(session)) is stop:
                del self._stops[id(session)]


async def _stopped_by_leaving(request: Request, stop: asyncio.Event) -> None:
    """The form has been read: all that can still come is that the browser disconnects."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    log.info("console: a browser that listened has disconnected")
    stop.set()


def _say(session: Session, topic: str) -> None:
    log.info("console: %s listens to %r", session.user, topic, extra={"user": session.user})


async def _heard(settings: Settings, topic: str, stop: asyncio.Event, subscribed: Callable[[], None]) -> Heard:
    found: list[Message] = []
    size = 0
    coming = listen(settings, [topic], SECONDS, stop, subscribed=subscribed, waiting=WAITING, packet_max=PACKET_MAX)
    async with aclosing(coming) as messages:
        async for message in messages:
            size += len(message.topic) + len(message.payload)
            if found and size > BYTES:
                return Heard(found, is_full=True)
            found.append(message)
            if len(found) >= MESSAGES:
                return Heard(found, is_full=True)
    return Heard(found, is_full=False)
