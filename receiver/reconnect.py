"""When to connect to the broker again, and a quarrel of two clients about one client id, told once."""

from __future__ import annotations

import logging
import time

from shared.backoff import Backoff
from shared.failure import is_taken_over

HELD_S = 5.0  # a connection that has held for so long was a success
SHORT_S = 1.0  # MQTT 3.1.1 gives no reason: connections that end within this, again and again, were taken over
SHORT_COUNT = 3
SETTLED_S = 300.0  # a connection that has held for so long ends the quarrel: the next one is told again
QUARREL_FIRST_S, QUARREL_CAP_S = 1.0, 10.0  # longer than HELD_S: whoever is connected meanwhile gets on with it

log = logging.getLogger(__name__)


class Reconnect:
    """How long to wait before the next connection, from how the last ones ended."""

    def __init__(self, client_id: str) -> None:
        self._client_id = client_id
        self._outage = Backoff()
        self._quarrel = Backoff(QUARREL_FIRST_S, QUARREL_CAP_S)
        self._subscribed_at: float | None = None
        self._short = 0  # connections in a row
        self._was_told = False

    def subscribed(self) -> None:
        """The connection is complete."""
        self._subscribed_at = time.monotonic()

    def delay(self, error: Exception) -> float:
        """Seconds until the next try, after a connection ended with `error` or could not be made."""
        self._note_how_long_it_held()
        if self._short < SHORT_COUNT and not is_taken_over(error):
            return self._outage.delay()
        if not self._was_told:
            self._was_told = True
            log.warning(
                "broker: another client probably uses this client id, %s: each connection of one ends the other's "
                "(MQTT_CLIENT_ID must differ between receivers)",
                self._client_id,
            )
        return self._quarrel.delay()

    def _note_how_long_it_held(self) -> None:
        if self._subscribed_at is None:  # refused, or lost before SUBACK
            self._short = 0
            return
        held = time.monotonic() - self._subscribed_at
        self._subscribed_at = None
        self._short = self._short + 1 if held < SHORT_S else 0
        if held >= HELD_S:
            self._outage.reset()
            self._quarrel.reset()
        if held >= SETTLED_S:
            self._was_told = False
