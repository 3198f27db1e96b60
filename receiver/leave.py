"""`receiver --leave`: takes what is in the session of a receiver that will not be started again, and ends the session.

UNSUBSCRIBE comes first, so that nothing more gets into the session; what waits in it still arrives. MQTT does not say
when that is all: it is when all that came is appended, nothing has come for a while, and the broker answers all the
same. A second connection with a clean session then makes the broker delete it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable

from traksense_ingest.receiver.connection import TIMEOUT_S
from traksense_ingest.receiver.filters import Filters
from traksense_ingest.receiver.intake import Intake
from traksense_ingest.shared import mqtt
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.errors import ConfigurationError
from traksense_ingest.shared.failure import REDIS_ERRORS, describe
from traksense_ingest.shared.streams import heartbeat
from traksense_ingest.shared.streams.client import Clients

QUIET_S = 5.0  # a broker sends what waits as soon as there is room in flight
POLL_S = 0.1

log = logging.getLogger(__name__)


async def check_gone(clients: Clients, client_id: str) -> None:
    """Raise ConfigurationError where that receiver still runs: each would end the other's connection."""
    with contextlib.suppress(*REDIS_ERRORS):
        if any(each.client_id == client_id and not each.is_gone for each in await heartbeat.receivers(clients)):
            raise ConfigurationError(
                f"MQTT_CLIENT_ID={client_id!r} still runs, or did within {heartbeat.GONE_S:.0f} s: stop it first"
            )


async def forget(clients: Clients, client_id: str, filters: Filters) -> None:
    """Remove what Redis knows of this receiver and of its filters: its session has ended."""
    try:
        await filters.forget()
        await heartbeat.deregister(clients, client_id)
    except REDIS_ERRORS as error:
        about = {"component": "redis", "client_id": client_id}
        log.warning("run `traksense-ingest status --dismiss %s`: %s", client_id, describe(error), extra=about)


async def drained(intake: Intake, answered: Callable[[], Awaitable[None]]) -> None:
    """Return once nothing has come for QUIET_S, all that came is appended and acknowledged, and the broker answers.

    A broker or a network that is stuck is quiet too: the answer comes behind what was held up.
    Raises what `answered` raises.
    """
    received = -1
    while received != intake.received or not intake.is_idle:
        await _quiet(intake)
        received = intake.received
        await answered()


async def _quiet(intake: Intake) -> None:
    received, since = -1, time.monotonic()
    while not intake.is_idle or time.monotonic() - since < QUIET_S:
        if intake.received != received or not intake.is_idle:
            received, since = intake.received, time.monotonic()
        await asyncio.sleep(POLL_S)


async def end_session(settings: Settings) -> None:
    """Connect with a clean session and leave, which ends it. Raises MqttError and OSError."""
    clean = {"clean_start": True} if mqtt.is_v5(settings) else {"clean_session": True}
    async with mqtt.client(settings, settings.mqtt_client_id, timeout=TIMEOUT_S, **clean):
        """The broker has answered: it has deleted the old session, and this one ends here."""
