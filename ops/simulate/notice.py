"""What a person should know while it runs: an outage and its end, once each."""

from __future__ import annotations

from collections.abc import Callable

from shared.config import Settings, redacted
from shared.failure import describe


class Notice:
    """Says things through `say`, a line each; all connections share one, so that none repeats another."""

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        self._url = redacted(settings.mqtt_url)
        self._say = say
        self._is_down = False
        self._told_refusals: set[str] = set()

    def down(self, error: Exception) -> None:
        """The broker can't be reached."""
        if not self._is_down:
            self._say(f"{self._url} is away, waiting for it: {describe(error)}")
        self._is_down = True

    def up(self) -> None:
        """It answers."""
        if self._is_down:
            self._say(f"{self._url} is there")
        self._is_down = False

    def refused(self, reason: str) -> None:
        """It answered a message with a refusal."""
        if reason not in self._told_refusals:
            self._say(f"{self._url} refuses messages: {reason}")
        self._told_refusals.add(reason)
