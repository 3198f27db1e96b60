"""Warnings about a broker that works, but not as a receiver needs it; each is logged once a process."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from traksense_ingest.shared.mqtt_client import Allowed, HungUp

HANG_UPS = 5  # in a row, before there ever was a connection: some 2 s

log = logging.getLogger(__name__)


class Hints:
    """Logs each warning once."""

    def __init__(self, protocol: str) -> None:
        """`protocol` is MQTT_PROTOCOL."""
        self._protocol = protocol
        self._hang_ups = 0
        self._was_connected = False
        self._logged: set[str] = set()

    def failed(self, error: Exception) -> None:
        """A connection ended with `error`, or could not be made."""
        self._hang_ups = self._hang_ups + 1 if isinstance(error, HungUp) and not self._was_connected else 0
        if self._hang_ups == HANG_UPS:
            self._log(
                f"broker: it hangs up on each CONNECT: perhaps it does not know MQTT {self._protocol} "
                f"(MQTT_PROTOCOL={_other(self._protocol)}), wants TLS (mqtts://), or is not behind its proxy"
            )

    def connected(self, allowed: Allowed, asked_s: int) -> None:
        """A connection was made, with a session of `asked_s` seconds asked for."""
        self._was_connected = True
        if allowed.session_expiry_s is not None and allowed.session_expiry_s < asked_s:
            self._log(
                f"broker: it keeps this receiver's session for {allowed.session_expiry_s} s, not {asked_s}: "
                "what is published while the receiver is not connected for longer is lost"
            )

    def subscribed(self, lowered: Sequence[str]) -> None:
        """All filters are granted, these at QoS 0 instead of 1."""
        if lowered:
            self._log(
                f"broker: it grants QoS 0 instead of 1 to {', '.join(lowered)}: "
                "what is under way when a connection is lost, or published while there is none, is lost"
            )

    def _log(self, text: str) -> None:
        if text not in self._logged:
            self._logged.add(text)
            log.warning("%s", text, extra={"component": "broker"})


def _other(protocol: str) -> str:
    return "3.1.1" if protocol == "5" else "5"
