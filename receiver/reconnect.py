"""When to connect to the broker again, and a client-id conflict: two clients with one client id, logged once."""

from __future__ import annotations

import logging
import time

from aiomqtt import MqttError

from traksense_ingest.shared.failure import is_taken_over
from traksense_ingest.shared.runtime.retry import Backoff

HELD_S = 5.0  # a connection that has held for so long was a success
SHORT_S = 1.0  # MQTT 3.1.1 gives no reason: connections that it closes within this, again and again, were taken over
SHORT_COUNT = 3
RESOLVED_S = 300.0  # a connection that has held for so long ends the conflict: the next one is logged again
CONFLICT_FIRST_S, CONFLICT_CAP_S = 1.0, 10.0  # longer than HELD_S: the other client can work meanwhile

log = logging.getLogger(__name__)


class Closed(MqttError):
    """The broker has closed the connection in order and without a reason, as it does when another client connects with
    the same id. A network or a proxy that fails resets the connection, or leaves it open without any data."""


class Reconnect:
    """How long to wait before the next connection, from how the last ones ended."""

    def __init__(self, client_id: str) -> None:
        self._client_id = client_id
        self._outage = Backoff()
        self._conflict = Backoff(CONFLICT_FIRST_S, CONFLICT_CAP_S)
        self._subscribed_at: float | None = None
        self._short = 0  # connections in a row that the broker has closed within SHORT_S
        self._is_logged = False  # the conflict

    def subscribed(self) -> None:
        """The connection is complete."""
        self._subscribed_at = time.monotonic()

    def delay(self, error: Exception) -> float:
        """Seconds until the next try, after a connection ended with `error` or could not be made."""
        self._note_how_long_it_held(error)
        if self._short < SHORT_COUNT and not is_taken_over(error):
            return self._outage.delay()
        if not self._is_logged:
            self._is_logged = True
            log.warning(
                "broker: another client probably uses this client id, %s: each connection of one ends the other's "
                "(MQTT_CLIENT_ID must differ between receivers)",
                self._client_id,
                extra={"component": "broker", "client_id": self._client_id},
            )
        return self._conflict.delay()

    def _note_how_long_it_held(self, error: Exception) -> None:
        if self._subscribed_at is None:  # refused, or lost before SUBACK
            self._short = 0
            return
        held = time.monotonic() - self._subscribed_at
        self._subscribed_at = None
        if held >= SHORT_S:
            self._short = 0
        elif isinstance(error, Closed):
            self._short += 1
        if held >= HELD_S:
            self._outage.reset()
            self._conflict.reset()
        if held >= RESOLVED_S:
            self._is_logged = False
