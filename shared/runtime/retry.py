"""Trying again: how long to wait before the next try, the same operation until an outage is over, and what is done
periodically beside the work."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeVar

from traksense_ingest.shared.errors import ConfigurationError
from traksense_ingest.shared.failure import Kind, describe, is_permanent, kind_of, sqlstate_of
from traksense_ingest.shared.runtime.health import Component
from traksense_ingest.shared.runtime.tasks import end_if_cancelled

LONGEST_S = 30.0  # between tries of a periodic task that fails
LOG_AGAIN_S = 600.0  # the same error is logged again when it was not seen for so long

T = TypeVar("T")

log = logging.getLogger(__name__)


class Backoff:
    """Delays in seconds that double from `first` to `cap`, each drawn from its upper half.

    The jitter keeps the processes of a fleet from connecting to a recovering server at the same instant.
    """

    def __init__(self, first: float = 0.05, cap: float = 1.0) -> None:
        self._first = first
        self._cap = cap
        self._next = first

    def delay(self) -> float:
        """The next delay; each call doubles the one after it."""
        ceiling, self._next = self._next, min(self._next * 2, self._cap)
        return ceiling * random.uniform(0.5, 1.0)  # noqa: S311  (not a secret)

    def reset(self) -> None:
        """Start again from the first delay, after a success."""
        self._next = self._first


async def retry_through_outage(component: Component, operation: Callable[[], Awaitable[T]]) -> T:
    """The operation's result, however many outages of the component it takes.

    Raises what the operation raises when it is no outage.
    """
    try:
        result = await operation()
    except Exception as error:
        _note_outage(component, error)
        with component.wait():
            result = await _retry(component, operation)
    end_if_cancelled()
    component.up()
    return result


async def _retry(component: Component, operation: Callable[[], Awaitable[T]]) -> T:
    backoff = Backoff()
    while True:
        end_if_cancelled()
        await asyncio.sleep(backoff.delay())
        try:
            return await operation()
        except Exception as error:
            _note_outage(component, error)


def _note_outage(component: Component, error: Exception) -> None:
    if kind_of(error) is not Kind.OUTAGE:
        raise error
    component.down(error)


async def wait_until_reachable(component: Component, variable: str, operation: Callable[[], Awaitable[T]]) -> T:
    """As `retry_through_outage`, for a service that is starting: raises ConfigurationError where waiting can't help."""

    async def attempt() -> T:
        try:
            return await operation()
        except Exception as error:
            if is_permanent(error):
                raise ConfigurationError(f"{variable}: {component.name}: {describe(error)}") from None
            raise

    return await retry_through_outage(component, attempt)


async def watch(name: str, look: Callable[[], Awaitable[object]], period_s: float) -> NoReturn:
    """Call `look` every `period_s` seconds, for ever: an error ends nothing.

    After an error it is called less and less often. The same error is logged once, with its traceback.
    """
    backoff = Backoff(period_s, max(period_s, LONGEST_S))
    logged, seen_at = "", 0.0
    while True:
        end_if_cancelled()
        try:
            await look()
        except Exception as error:
            text, now = f"{type(error).__name__}: {describe(error)}", time.monotonic()
            if text != logged or now - seen_at > LOG_AGAIN_S:
                about = {"task": name, "sqlstate": sqlstate_of(error)}
                log.exception("watching %s failed, and goes on", name, extra=about)
            logged, seen_at = text, now
            end_if_cancelled()
            await asyncio.sleep(backoff.delay())
        else:
            backoff.reset()
            end_if_cancelled()  # a library may have swallowed the cancellation
            await asyncio.sleep(period_s)
