"""Whether this process is alive, and whether all that it depends on can be used; `health_server.py` serves it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from traksense_ingest.shared.failure import NotServed, Unusable, describe, sqlstate_of
from traksense_ingest.shared.metrics import OUTAGE_REASONS, Metrics

LINES = 5  # an outage: a reason may name a row or a time, and differ at each try
_ANSWERS = (Unusable, NotServed)
STALL_S = 30.0  # an event loop without a heartbeat for so long is stuck, not busy

log = logging.getLogger(__name__)


class Outage(NamedTuple):
    """Why a component can't be used, as the last try has shown, and since when the tries have failed."""

    reason: str  # one line
    since: float  # by a monotonic clock, in seconds
    context: str = ""  # what may have contributed to it when it began


class Component:
    """One thing that the process depends on: the broker, Redis, the database, … Down until its first answer."""

    def __init__(self, name: str, address: str, metrics: Metrics) -> None:
        self.name = name
        self._address = address
        self.is_up = False
        self.was_up = False  # ever, in this process
        self.outage: Outage | None = None  # the one that lasts
        self._waiting = 0
        self._reported: set[str] = set()  # reasons that were logged in this outage
        self._errors = metrics.errors.labels(OUTAGE_REASONS[name])
        self._connected = metrics.connected.labels(name)

    @contextmanager
    def wait(self) -> Iterator[None]:
        """While one task waits for it to come back, another task's success does not make it up."""
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def presume(self) -> None:
        """It counts as up until a failure shows otherwise."""
        self.is_up, self.outage = True, None
        self._connected.set(1)

    def up(self) -> None:
        """It answered; logged at the end of an outage, once it counts as up."""
        if self._waiting:
            return
        was_down, was_unusable = not self.is_up, any(self._reported)
        self.is_up, self.was_up, self.outage = True, True, None
        self._reported.clear()
        self._connected.set(1)
        if was_down:
            state = "can be used again" if was_unusable else "is reachable"
            log.info("%s %s", self.name, state, extra={"component": self.name, "state": "up"})

    def down(self, error: BaseException, context: str = "") -> None:
        """A try failed; each is counted. Logged once an outage, and once for each reason why it can't be used, when it
        counts as down already. `context` is what may have contributed to the
        outage, of its first error."""
        is_new = self._is_new(error)
        self.is_up = False
        since, context = (self.outage.since, self.outage.context) if self.outage else (time.monotonic(), context)
        reason = describe(error) + context
        self.outage = Outage(reason, since, context)
        self._errors.inc()
        self._connected.set(0)
        if is_new:
            state = "can't be used" if isinstance(error, _ANSWERS) else "is unreachable"
            about = {"component": self.name, "state": "down", "sqlstate": sqlstate_of(error)}
            log.warning("%s %s, waiting for it: %s (%s)", self.name, state, reason, self._address, extra=about)

    def _is_new(self, error: BaseException) -> bool:
        reason = str(error) if isinstance(error, _ANSWERS) else ""
        if reason in self._reported or (self._reported and not reason) or len(self._reported) >= LINES:
            return False
        self._reported.add(reason)
        return True


class Health:
    """Alive: the event loop runs. Ready: every component can be used."""

    def __init__(self, metrics: Metrics, addresses: Mapping[str, str]) -> None:
        """`addresses` are the components' URLs, fit for a log line."""
        self.components = {name: Component(name, address, metrics) for name, address in addresses.items()}
        self._beat_at = time.monotonic()

    def beat(self) -> None:
        """Called by a task of the event loop, every second or so."""
        self._beat_at = time.monotonic()

    @property
    def is_alive(self) -> bool:
        return time.monotonic() - self._beat_at < STALL_S

    @property
    def is_ready(self) -> bool:
        return self.is_alive and all(component.is_up for component in self.components.values())

    def report(self) -> dict[str, object]:
        """What /healthz and /readyz answer."""
        states = {name: "up" if component.is_up else "down" for name, component in self.components.items()}
        return {"alive": self.is_alive, "ready": self.is_ready, "components": states}
