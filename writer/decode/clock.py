"""A clock that is behind puts every good message in the future: then the clock is at fault, not the messages.

"Now" is the later of this host's clock and the entry's id, so both must be wrong for this: a small machine without a
battery for its clock, with Redis on it.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

from traksense_ingest.shared.failure import Unusable
from traksense_ingest.shared.runtime.health import Component
from traksense_ingest.writer.decode.decode import Clock, utc_now
from traksense_ingest.writer.entry import Entry
from traksense_ingest.writer.outcome import Decoded, HeldBack, Outcome, Rejected

EARLIEST = datetime(2025, 10, 1, tzinfo=UTC)  # no release of this program is older
DEVICES = 3  # at least, and half of all, must agree with each other: a single one may be wrong itself
AGREEMENT = timedelta(hours=1)
RECENT_S = 600.0  # how long a message's timestamp is evidence of what time it is

CLOCK = "clock"


class ClockWatch:
    """Compares the messages' timestamps with the clock. Shared by a process's lanes."""

    def __init__(
        self,
        component: Component,
        max_future_s: int,
        clock: Clock = utc_now,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._component = component
        self._max_future = timedelta(seconds=max_future_s)
        self._clock = clock
        self._elapsed = elapsed
        self._in_range_at = -RECENT_S
        self._ahead: dict[
            str | bytes, tuple[timedelta, float]
        ] = {}  # of each device: how far ahead of now, and when seen
        self._until: datetime | None = None  # from then on the messages that are held back are in range
        self._held = ExitStack()  # the component stays down meanwhile, whatever another lane's check says
        self.recoveries = 0

    async def check(self, batch: Sequence[Entry]) -> None:
        """Raise Unusable while both this host's clock and the entries' are before this program was made."""
        now = max(self._clock(), batch[-1].appended_at)
        if now < EARLIEST:
            raise Unusable(f"it says {now:%Y-%m-%d %H:%M}, which is before this program was made; set the clock (NTP)")

    def hold_back(self, outcomes: Sequence[Outcome]) -> Sequence[Outcome | HeldBack]:
        """The same outcomes; messages from the future are held back where the clock must be behind."""
        if any(isinstance(outcome, Decoded) and outcome.ts for outcome in outcomes):
            self._in_range_at = self._elapsed()
            self._recover()
        ahead = [outcome for outcome in outcomes if isinstance(outcome, Rejected) and outcome.ahead]
        if not ahead:
            return outcomes
        self._learn(ahead)
        agreeing = self._agreeing()
        if not agreeing:
            return outcomes
        behind = agreeing[0]
        fault = Unusable(
            f"{len(agreeing)} devices agree that it is {_in_words(behind)} later than this "
            "host and Redis say; set the clock (NTP), or where the devices are wrong raise INGEST_MAX_FUTURE_S"
        )
        self._hold()
        self._component.down(fault)
        now = max(self._clock(), *(outcome.entry.appended_at for outcome in ahead))
        self._until = now + behind + AGREEMENT - self._max_future
        return [
            HeldBack(outcome.entry, CLOCK, fault) if isinstance(outcome, Rejected) and outcome.ahead else outcome
            for outcome in outcomes
        ]

    def recheck(self) -> None:
        """Release what is held back if the clock was set meanwhile."""
        if self._until is not None and self._clock() >= self._until:
            self._recover()

    def _learn(self, ahead: Sequence[Rejected]) -> None:
        now = self._elapsed()
        for outcome in ahead:
            if outcome.ahead and outcome.entry.topic:
                device = outcome.device or outcome.entry.topic.rpartition(b"/")[0]
                by = outcome.ahead - max(self._clock(), outcome.entry.appended_at)
                self._ahead[device] = by, now
        self._ahead = {device: seen for device, seen in self._ahead.items() if now - seen[1] < RECENT_S}

    def _agreeing(self) -> Sequence[timedelta]:
        """How far the clock is behind by most devices' timestamps, the least first; empty where they disagree."""
        if self._elapsed() - self._in_range_at < RECENT_S:
            return ()
        offsets = sorted(by for by, _ in self._ahead.values())
        ends = [bisect_right(offsets, least + AGREEMENT) for least in offsets]
        start, end = max(enumerate(ends), key=lambda span: span[1] - span[0])
        return offsets[start:end] if end - start >= max(DEVICES, len(offsets) / 2) else ()

    def _hold(self) -> None:
        if self._until is None:
            self._held.enter_context(self._component.wait())

    def _recover(self) -> None:
        self._ahead.clear()
        if self._until is not None:
            self._until = None
            self._held.close()
            self.recoveries += 1
            self._component.up()


def _in_words(time: timedelta) -> str:
    minutes = time // timedelta(minutes=1)
    return f"{minutes // 60} h" if minutes >= 120 else f"{minutes} min"
