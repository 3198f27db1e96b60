"""Starts the parts in order, restarts one that crashed, stops them in the opposite order."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence

from ops.embedded import Broker, Server, ServerFailed

RESTARTS_MAX, RESTARTS_WITHIN_S = 3, 60.0
DEAF_AFTER_LOOKS = 5
MISCONFIGURED = 2  # the exit code that says that another try can't help


class GaveUp(Exception):
    """A part crashed too often; the message has the end of its log."""


class Supervisor:
    """The parts of one `up`, dependencies first."""

    def __init__(self, parts: Sequence[Server], tell: Callable[[str], None]) -> None:
        self.parts = parts
        self.restarts: dict[str, int] = defaultdict(int)
        self._tell = tell
        self._crashes: dict[str, deque[float]] = defaultdict(deque)
        self._missed = 0

    def require_ports(self) -> None:
        """Raise PortBusy when a part would not get its port; asked before anything is started."""
        for part in self.parts:
            part.require_ports()

    def start(self) -> None:
        """Start every part; raises PortBusy or ServerFailed."""
        for part in self.parts:
            self._tell(f"starting {part.name} …")
            part.start()

    def look_after(self) -> None:
        """Restart what crashed; raises GaveUp when that doesn't help."""
        for part in self.parts:
            if isinstance(part, Broker):
                self._end_if_deaf(part)
            if not part.running:
                self._revive(part)

    def stop(self) -> None:
        """Stop every part, those that depend on others first."""
        for part in reversed(self.parts):
            self.stop_part(part)

    def stop_part(self, part: Server) -> None:
        """Stop one of them."""
        if part.running:
            self._tell(f"stopping {part.name} …")
        part.stop()

    def _end_if_deaf(self, broker: Broker) -> None:
        """rumqttd can lose a listener and live on: then it is as good as crashed."""
        self._missed = 0 if broker.serves() else self._missed + 1
        if self._missed == DEAF_AFTER_LOOKS:
            broker.kill()

    def _revive(self, part: Server) -> None:
        code = part.returncode
        if code == MISCONFIGURED:
            raise GaveUp(f"{part.name} can't run as it is configured; {_log_of(part)}")
        if self._crashed_too_often(part):
            often = f"{RESTARTS_MAX + 1} times within {RESTARTS_WITHIN_S:.0f} s"
            raise GaveUp(f"giving up: {part.name} ended {often}; {_log_of(part)}")
        self._tell(f"{part.name} {_how(code)}: starting it again (its log: {part.log_path})")
        self.restarts[part.name] += 1
        try:
            part.start()
        except ServerFailed as error:
            self._tell(str(error))  # it counts as another crash at the next look

    def _crashed_too_often(self, part: Server) -> bool:
        now, crashes = time.monotonic(), self._crashes[part.name]
        crashes.append(now)
        while now - crashes[0] > RESTARTS_WITHIN_S:
            crashes.popleft()
        return len(crashes) > RESTARTS_MAX


def _log_of(part: Server) -> str:
    return f"the end of its log, {part.log_path}:\n{part.log_tail()}"


def _how(code: int | None) -> str:
    return f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
