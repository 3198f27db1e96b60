"""Kinds of messages that are refused at the moment, good ones too: they wait, and the other kinds are stored.

What is held back stays pending in the stream. No try is counted against it, and nothing of it is dead-lettered.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack

from traksense_ingest.shared.failure import Suspect, Unusable, sqlstate_of, summary, suspect_of
from traksense_ingest.shared.runtime.health import Component
from traksense_ingest.shared.runtime.service import unless_stopped
from traksense_ingest.writer.store.canary import Canary

RECHECK_S = 1.0  # between canaries of a kind that is held back
PAUSE_S = 0.5  # after a batch of which everything is held back


class RefusedKinds:
    """Tries a canary of each kind every second until it is accepted. Shared by a process's lanes."""

    def __init__(self, canary: Canary, database: Component, messages: Component) -> None:
        self._canary = canary
        self._database = database
        self._messages = messages
        self._kinds: dict[str, tuple[Exception, ExitStack]] = {}
        self._checked_at = 0.0
        self.recoveries = 0  # how often a kind was accepted again

    def fault_of(self, kind: str) -> Exception | None:
        """Why a kind is held back; None where it isn't."""
        return self._kinds[kind][0] if kind in self._kinds else None

    def add(self, kind: str, fault: Exception) -> None:
        """Hold a kind back: its canary ended with this fault. The process isn't ready until one is accepted."""
        if kind in self._kinds:
            return
        component, waiting = self._component(fault), ExitStack()
        waiting.enter_context(component.wait())
        self._kinds[kind] = fault, waiting
        self._checked_at = time.monotonic()
        component.down(_for_log(kind, fault))

    async def recheck(self) -> None:
        """Release the kinds whose canary is accepted now; at most once in RECHECK_S, whoever calls."""
        if not self._kinds or time.monotonic() - self._checked_at < RECHECK_S:
            return
        self._checked_at = time.monotonic()
        for kind in [*self._kinds]:
            await self._recheck(kind)

    async def pause(self, stop: asyncio.Event) -> None:
        """Wait before the next batch, of which everything may be held back again."""
        await unless_stopped(stop, asyncio.sleep(PAUSE_S))

    async def _recheck(self, kind: str) -> None:
        try:
            fault = await self._canary.fault_of(kind)
        except Exception as error:
            fault = error
        if fault is not None:
            self._component(fault).down(_for_log(kind, self._as_first_seen(kind, fault)))
        elif held := self._kinds.pop(kind, None):
            held[1].close()
            self.recoveries += 1
            for component in (self._database, self._messages):
                component.up()

    def _as_first_seen(self, kind: str, fault: Exception) -> Exception:
        """The same refusal may name another chunk each time: it is logged as it was first, and so once."""
        before = self.fault_of(kind)
        return before if before is not None and _class_of(before) == _class_of(fault) else fault

    def _component(self, fault: Exception) -> Component:
        return self._messages if suspect_of(fault) is Suspect.CODE else self._database


def _class_of(fault: Exception) -> tuple[type[Exception], str | None]:
    return type(fault), sqlstate_of(fault)


def _for_log(kind: str, fault: Exception) -> Exception:
    """With the kind in its message, unless the database is unreachable."""
    if suspect_of(fault) is Suspect.SERVER:
        return fault
    return Unusable(f"no message of the kind {kind} can be stored, not even a known good one: {summary(fault)}")
