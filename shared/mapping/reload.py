"""The mappings that a service runs with: loaded when it starts, and again at each SIGHUP.

The new ones are loaded and checked in a thread beside the work, and only then used; where something is wrong with them,
the old ones stay.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable, Iterator
from typing import Generic, NoReturn, TypeVar

from traksense_ingest.shared.failure import Unusable, describe
from traksense_ingest.shared.mapping.faults import MappingError
from traksense_ingest.shared.mapping.load import load
from traksense_ingest.shared.mapping.mappings import Mappings
from traksense_ingest.shared.metrics import Metrics
from traksense_ingest.shared.runtime.tasks import end_if_cancelled

T = TypeVar("T")
Check = Callable[[Mappings], None]  # raises MappingError
Prepare = Callable[[Mappings], T]  # makes what the service needs of them; raises MappingError
Apply = Callable[[T], Awaitable[None]]  # uses them from now on; raises Unusable where that can't be

SUMMARY_MAX = 300  # characters

log = logging.getLogger(__name__)


def is_read(_mappings: Mappings) -> None:
    """No check beside what loading says: whoever has none of the writer's code can't compile them."""


class LiveMappings(Generic[T]):
    """Those of INGEST_MAPPINGS, and what the service has made of them."""

    def __init__(self, spec: str, check: Check, prepare: Prepare[T], metrics: Metrics) -> None:
        """Raises MappingError with all errors of all files."""
        self._spec = spec
        self._check = check
        self._prepare = prepare
        self._metrics = metrics
        self._requested = asyncio.Event()
        self.reload_error: str | None = None  # why the last reload failed
        self.digests, self.prepared = self._load()
        metrics.show_mappings(self.digests)

    @contextlib.contextmanager
    def reloaded_at_hangup(self) -> Iterator[None]:
        """As long as the block, SIGHUP is a request to load them again, which `follow` answers."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._requested.set)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGHUP)

    async def follow(self, apply: Apply[T]) -> NoReturn:
        """Load them again whenever that is requested, and apply them."""
        while True:
            end_if_cancelled()
            await self._requested.wait()
            self._requested.clear()
            try:
                await self._reload(apply)
            except Exception as error:
                self._keep(error)

    async def _reload(self, apply: Apply[T]) -> None:
        digests, prepared = await asyncio.to_thread(self._load)
        await apply(prepared)
        before, self.digests, self.prepared, self.reload_error = self.digests, digests, prepared, None
        self._metrics.mapping_last_reload_successful.set(1)
        self._metrics.show_mappings(digests)
        log.info("mappings reloaded: %s", _difference(before, digests), extra={"mappings": digests})

    def _load(self) -> tuple[dict[str, str], T]:
        mappings = load(self._spec)
        self._check(mappings)
        return dict(mappings.digests), self._prepare(mappings)

    def _keep(self, error: Exception) -> None:
        self._metrics.mapping_reload_errors.inc()
        self._metrics.mapping_last_reload_successful.set(0)
        self.reload_error = _summary(error)
        if isinstance(error, MappingError):
            log.error("mappings not reloaded, the current ones stay in use: %d errors", len(error.faults))
            for fault in error.faults:
                log.error("%s", fault)
        else:
            text = "mappings not reloaded, the current ones stay in use: %s"
            log.error(text, describe(error), exc_info=None if isinstance(error, Unusable) else error)


def _summary(error: Exception) -> str:
    """One line for `status`; the log has all faults."""
    faults = error.faults if isinstance(error, MappingError) else ()
    text = " ".join(str(faults[0]).split()) if faults else describe(error)
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return (text if len(text) <= SUMMARY_MAX else f"{text[: SUMMARY_MAX - 1]}…") + more


def _difference(before: dict[str, str], now: dict[str, str]) -> str:
    changes = [f"{name} {digest}" for name, digest in now.items() if before.get(name) != digest]
    gone = [f"{name} removed" for name in before if name not in now]
    return ", ".join([*changes, *gone]) or "no changes"
